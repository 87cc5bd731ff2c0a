// Three endpoints of the service as somebody would write them with Fastify and pg: the same tables, bodies and limits,
// every body and query checked by its schema, answers written by Fastify's serializer, and the log of requests on.
// The hash of a new revision is computed as the service computes it.
import { createHash, randomBytes } from "node:crypto";
import Fastify from "fastify";
import pg from "pg";

const AUDITS = "/api/v1/audits";
const LIMIT = 20;
const COUNT_CAP = 10_000;

const NAME = { type: "string", minLength: 1, maxLength: 128, pattern: "^[A-Za-z0-9][A-Za-z0-9_.:-]*$" };
const TEXT = { type: "string", minLength: 1, maxLength: 256, pattern: "^[^\\u0000-\\u001f\\u007f-\\u009f]*$" };
const TIME = { type: "string", format: "date-time" };
const ACTOR_TYPE = { type: "string", enum: ["user", "system", "service", "anonymous"] };
const STATUS = { type: "string", enum: ["success", "failure", "pending"] };
const DETAILS = { type: "object", additionalProperties: true };

const RECORD = {
  type: "object",
  properties: {
    id: { type: "string" },
    occurred_at: { type: "string" },
    recorded_at: { type: "string" },
    updated_at: { type: "string" },
    action: { type: "string" },
    entity_type: { type: "string" },
    entity_id: { type: "string" },
    actor_type: { type: "string" },
    actor_id: { type: "string" },
    status: { type: "string" },
    details: DETAILS,
    correlation_id: { type: "string", nullable: true },
    version: { type: "integer" },
  },
};
const PAGE = {
  type: "object",
  properties: {
    items: { type: "array", items: RECORD },
    limit: { type: "integer" },
    offset: { type: "integer", nullable: true },
    total: { type: "integer", nullable: true },
    total_relation: { type: "string", nullable: true },
    next_cursor: { type: "string", nullable: true },
  },
};
const NEW_RECORD = {
  type: "object",
  additionalProperties: false,
  required: ["action", "entity_type", "entity_id", "actor_id"],
  properties: {
    occurred_at: TIME,
    action: NAME,
    entity_type: NAME,
    entity_id: TEXT,
    actor_type: { ...ACTOR_TYPE, default: "user" },
    actor_id: TEXT,
    status: { ...STATUS, default: "success" },
    details: { ...DETAILS, default: {} },
    correlation_id: { ...TEXT, maxLength: 128, nullable: true, default: null },
  },
};

const COLUMNS = Object.keys(RECORD.properties);
const GET = { name: "get", text: `SELECT ${COLUMNS} FROM audit WHERE id = $1` };
const LIST = { name: "list", text: `SELECT ${COLUMNS} FROM audit ORDER BY occurred_at DESC, id DESC LIMIT $1 OFFSET $2` };
const COUNT = { name: "count", text: `SELECT count(*)::int AS total FROM (SELECT 1 FROM audit LIMIT ${COUNT_CAP + 1}) AS found` };
const CREATE = {
  name: "create",
  text: `
    WITH noted AS (
      INSERT INTO audit_revision (audit_id, version, operation, changed_at, record, salt, hash)
      VALUES ($1, 1, 'create', $3, $13, $14, $12)
    )
    INSERT INTO audit (id, occurred_at, recorded_at, updated_at, action, entity_type, entity_id, actor_type, actor_id,
                       status, details, correlation_id, version, hash)
    VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12)
    RETURNING ${COLUMNS}`,
};

const pool = new pg.Pool({
  connectionString: process.env.DATABASE_URL.replace("+asyncpg", ""),
  max: 20,
  options: "-c statement_timeout=1500 -c lock_timeout=1000 -c plan_cache_mode=force_custom_plan -c timezone=UTC",
});
const app = Fastify({ logger: true, genReqId: uuid7 });

app.get("/health/live", { schema: { response: { 200: { type: "object", properties: { status: { type: "string" } } } } } }, async () => ({
  status: "ok",
}));

app.get(
  `${AUDITS}/:id`,
  { schema: { params: { type: "object", properties: { id: { type: "string", format: "uuid" } } }, response: { 200: RECORD } } },
  async (request, reply) => {
    const { rows } = await pool.query({ ...GET, values: [request.params.id] });
    if (rows.length === 0) return reply.code(404).send({ code: "audit-not-found" });
    return reply.header("etag", `"${rows[0].version}"`).send(rows[0]);
  },
);

app.get(
  AUDITS,
  {
    schema: {
      querystring: {
        type: "object",
        additionalProperties: false,
        properties: { limit: { type: "integer", minimum: 1, maximum: 50, default: LIMIT }, offset: { type: "integer", minimum: 0, default: 0 } },
      },
      response: { 200: PAGE },
    },
  },
  async (request, reply) => {
    const { limit, offset } = request.query;
    const [listed, counted] = await Promise.all([
      pool.query({ ...LIST, values: [limit + 1, offset] }),
      pool.query(COUNT),
    ]);
    const items = listed.rows.slice(0, limit);
    const last = items.at(-1);
    const more = listed.rows.length > limit;
    const next_cursor = more ? Buffer.from(JSON.stringify([last.occurred_at, last.id])).toString("base64url") : null;
    const { total } = counted.rows[0];
    return reply
      .header("link", more ? `<${AUDITS}?cursor=${next_cursor}>; rel="next"` : "")
      .send({ items, limit, offset, total: Math.min(total, COUNT_CAP), total_relation: total > COUNT_CAP ? "gte" : "eq", next_cursor });
  },
);

app.post(AUDITS, { schema: { body: NEW_RECORD, response: { 201: RECORD } } }, async (request, reply) => {
  const now = new Date().toISOString();
  const id = uuid7();
  const body = request.body;
  const occurred_at = body.occurred_at ?? now;
  const salt = randomBytes(16);
  const record = { ...body, id, occurred_at, recorded_at: now, updated_at: now, version: 1 };
  const revision = {
    audit_id: id,
    version: 1,
    operation: "create",
    changed_at: now,
    changed_by: null,
    reason: null,
    record,
    salt: salt.toString("hex"),
    previous_hash: null,
  };
  const hash = createHash("sha256").update(canonicalize(revision)).digest();
  const details = JSON.stringify(body.details);
  const values = [
    id, occurred_at, now, body.action, body.entity_type, body.entity_id, body.actor_type, body.actor_id, body.status,
    details, body.correlation_id, hash, JSON.stringify(record), salt,
  ];
  const { rows } = await pool.query({ ...CREATE, values });
  return reply.code(201).header("location", `${AUDITS}/${id}`).header("etag", '"1"').send(rows[0]);
});

// RFC 8785.
function canonicalize(value) {
  if (Array.isArray(value)) return `[${value.map(canonicalize).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.keys(value).sort();
  return `{${members.map((name) => `${JSON.stringify(name)}:${canonicalize(value[name])}`).join(",")}}`;
}

// RFC 9562, 5.7.
function uuid7() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = bytes.toString("hex");
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join("-");
}

process.on("SIGTERM", async () => {
  await app.close();
  await pool.end();
});
await app.listen({ host: process.env.HOST, port: Number(process.env.PORT) });
