// Once around with a client that was generated, `node with_GENERATOR.js URL NAME`: what it is answered, as JSON.

declare const process: { argv: string[] };

// NAME tells the records of one tour from those of the others.
export const [, , url = "", name = ""] = process.argv;

export type Mode = "atomic" | "partial";
export type Status = "success" | "failure" | "pending";
export interface Written {
  action: string;
  entity_type: string;
  entity_id: string;
  actor_id: string;
  status: Status;
  details: { tenant: string };
}
export interface Audit {
  id: string;
  entity_id: string;
  status: Status;
  version: number;
}
export interface Filter {
  actor_id?: string[];
  status?: Status[];
  details?: string;
}
export interface Query extends Filter {
  limit?: number;
  cursor?: string;
}
export interface Page {
  items: Audit[];
  next_cursor: string | null;
}
export interface Problem {
  code: string;
  errors?: { loc: (string | number)[] }[] | null;
}
/** What became of an item of a partial batch. */
export interface Outcome {
  status: number;
  record?: Audit;
  problem?: Problem;
}
/** The status of an answer, and what it holds: with 304 nothing. */
export interface Answer<T> {
  status: number;
  data?: T | Problem | void;
}

export interface Client {
  create(record: Written): Promise<Answer<Audit>>;
  createBatch(items: Written[], idempotencyKey: string, mode: Mode): Promise<Answer<{ items: Audit[] | Outcome[] }>>;
  list(query: Query): Promise<Answer<Page>>;
  read(id: string, ifNoneMatch: string): Promise<Answer<Audit>>;
  patch(id: string, changes: { status: Status }, ifMatch: string): Promise<Answer<Audit>>;
  exportLines(filter: Filter): Promise<string>;
}

const STATUSES: Status[] = ["success", "failure", "failure", "pending", "pending"];
const UNKNOWN = "00000000-0000-7000-8000-000000000000";

function written(number: number): Written {
  const [status = "success"] = STATUSES.slice(number - 1);
  const details = { tenant: `t-${number % 2}` };
  const entity = { entity_type: "invoice", entity_id: `INV-${number}` };
  return { action: "invoice.update", ...entity, actor_id: name, status, details };
}

function held<T>({ status, data }: Answer<T>): T {
  if (status >= 300) throw new Error(`${status}: ${JSON.stringify(data)}`);
  return data as T;
}

function refused<T>({ status, data }: Answer<T>) {
  const problem = data as Problem;
  return [status, problem.code, problem.errors?.[0]?.loc ?? null];
}

export async function tour(client: Client): Promise<void> {
  const created = [];
  for (const number of [1, 2, 3, 4, 5]) created.push(held(await client.create(written(number))));
  const id = created[0]?.id ?? "";

  const query: Query = { actor_id: [name], status: ["failure", "pending"], details: '{"tenant": "t-1"}' };
  const found = held(await client.list(query)).items;

  const pages = [];
  let cursor: string | null | undefined;
  while (cursor !== null) {
    const page = held(await client.list({ actor_id: [name], limit: 2, ...(cursor ? { cursor } : {}) }));
    pages.push(page.items);
    cursor = page.next_cursor;
  }

  const patched = held(await client.patch(id, { status: "failure" }, '"1"'));
  const stale = await client.patch(id, { status: "pending" }, '"1"');
  const unchanged = await client.read(id, '"2"');
  const missing = await client.read(UNKNOWN, '"1"');
  const wrong = await client.list({ limit: 51 });

  const batch = [written(1), written(2)];
  const first = held(await client.createBatch(batch, name, "atomic")).items as Audit[];
  const again = held(await client.createBatch(batch, name, "atomic")).items as Audit[];
  const mixed = [written(3), { ...written(4), occurred_at: "2999-01-01T00:00:00Z" }];
  const outcomes = held(await client.createBatch(mixed, `${name} partial`, "partial")).items as Outcome[];
  const lines = (await client.exportLines({ actor_id: [name] })).trim().split("\n");

  const entities = (items: Audit[]) => items.map((item) => item.entity_id);
  console.log(
    JSON.stringify({
      created: created.map((record) => [record.entity_id, record.status, record.version]),
      found: entities(found),
      pages: pages.map(entities),
      patched: [patched.status, patched.version],
      stale: refused(stale),
      unchanged: unchanged.status,
      missing: refused(missing),
      wrong: refused(wrong),
      batch: entities(first),
      replayed: JSON.stringify(first) === JSON.stringify(again),
      partial: outcomes.map((outcome) => [outcome.status, outcome.record?.entity_id ?? outcome.problem?.code]),
      exported: lines.map((line) => JSON.parse(line).status),
    }),
  );
}
