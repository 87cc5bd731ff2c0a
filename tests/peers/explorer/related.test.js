import assert from "node:assert/strict";
import { test } from "node:test";
import { parse, toParams } from "../../../src/web/explorer/query.js";
import { relatedSearches } from "../../../src/web/explorer/related.js";

const record = {
  action: "invoice.update",
  entity_type: "invoice",
  entity_id: "INV-1",
  actor_id: "u-17",
  occurred_at: "2026-01-31T12:00:00.250000Z",
  correlation_id: "req-1",
};
const filters = (q) => {
  const { terms, problems } = parse(q);
  assert.deepEqual(problems, [], q);
  return Object.fromEntries(toParams(terms, 0));
};
const searches = (changes = {}) =>
  Object.fromEntries(relatedSearches({ ...record, ...changes }).map(({ label, q }) => [label, filters(q)]));

test("each search is a filter of the API", () => {
  assert.deepEqual(searches(), {
    "Same entity": { entity_type: "invoice", entity_id: "INV-1" },
    "Same actor, 15 minutes around": {
      actor_id: "u-17",
      occurred_from: "2026-01-31T11:45:00.250Z",
      occurred_to: "2026-01-31T12:15:00.250Z",
    },
    "Same action": { action: "invoice.update" },
    "Same correlation": { correlation_id: "req-1" },
  });
});

test("a record without a correlation has no search for it", () => {
  assert.ok(!("Same correlation" in searches({ correlation_id: null })));
});

test("what attackers write stays one value", () => {
  for (const text of ['" status:failure', "a b", "x\u202ey", '\\"', "\u0085", "since:24h", "*x", '"', "a\u2028b"]) {
    const found = searches({ entity_id: text, actor_id: text, correlation_id: text });
    assert.equal(found["Same entity"].entity_id, text);
    assert.equal(found["Same actor, 15 minutes around"].actor_id, text);
    assert.equal(found["Same correlation"].correlation_id, text);
  }
});
