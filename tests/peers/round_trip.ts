// `node round_trip.js URL`: once around, with types that were generated from the contract and nothing of ours.

import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

declare const process: { argv: string[] };

const client = createClient<paths>({ baseUrl: process.argv[2] ?? "" });

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("an answer of another kind");
  return value;
}

const { data: created } = await client.POST("/api/v1/audits", {
  params: { header: { "Idempotency-Key": "1" } },
  body: { action: "invoice.update", entity_type: "invoice", entity_id: "INV-1", actor_id: "u-1" },
});
const { id, status, version } = present(created);

const { data: page } = await client.GET("/api/v1/audits", {
  params: { query: { action: ["invoice.*"], status: ["success"] } },
});

async function fail() {
  return await client.PATCH("/api/v1/audits/{audit_id}", {
    params: { path: { audit_id: id }, header: { "If-Match": '"1"' } },
    body: { status: "failure" },
  });
}
const { data: patched } = await fail();
const { error: stale } = await fail();

const { data: deleted } = await client.DELETE("/api/v1/audits/{audit_id}", {
  params: { path: { audit_id: id }, header: { "X-Change-Reason": "by%20mistake" } },
});
const { error: gone } = await client.GET("/api/v1/audits/{audit_id}", { params: { path: { audit_id: id } } });
const { error: refused } = await client.GET("/api/v1/audits", { params: { query: { limit: 51 } } });

// Types that allow everything would let this pass, and fail here.
// @ts-expect-error
void client.POST("/api/v1/audits", { body: { action: "invoice.update", status: "unheard of" } }).catch(() => {});

console.log(
  JSON.stringify({
    id,
    created: { status, version },
    listed: present(page).items.map((item) => item.id),
    patched: { status: present(patched).status, version: present(patched).version },
    stale: { status: present(stale).status, code: present(stale).code },
    deleted: { id: present(deleted).id, version: present(deleted).version },
    gone: { status: present(gone).status, code: present(gone).code },
    refused: present(refused).errors?.[0]?.loc,
  }),
);
