import assert from "node:assert/strict";
import { test } from "node:test";
import { isBehind, mergeRows, narrowTo } from "../../../src/web/explorer/order.js";

const at = (fraction, id = fraction) => ({ id, occurred_at: `2026-01-31T12:00:00${fraction && `.${fraction}`}Z` });
const idsOf = (records) => records.map(({ id }) => id);

test("a time without a fraction is before those with one", () => {
  assert.ok(isBehind(at(""), at("000001")));
  assert.ok(!isBehind(at("000001"), at("")));
  assert.ok(isBehind(at("250000", "a"), at("250000", "b")));
  assert.ok(!isBehind(at("250000", "b"), at("250000", "a")));
});

test("records are added at their times", () => {
  const rows = [at("900000"), at("500000"), at("", "second")];
  assert.deepEqual(idsOf(mergeRows(rows, [at("950000"), at("500001"), at("000001")])), [
    "950000", "900000", "500001", "500000", "000001", "second",
  ]);
  assert.deepEqual(idsOf(mergeRows([], rows)), idsOf(rows));
  assert.deepEqual(idsOf(mergeRows(rows, [{ id: "last", occurred_at: "2026-01-31T11:59:59.999999Z" }])).at(-1), "last");
});

test("a filter is narrowed to the times of some records, and never widened", () => {
  const records = [at("500400"), at("000200")];
  const span = [["occurred_from", "2026-01-31T12:00:00.000Z"], ["occurred_to", "2026-01-31T12:00:00.501Z"]];
  assert.deepEqual(narrowTo([["status", "failure"]], records), [["status", "failure"], ...span]);
  const wide = [["occurred_from", "2026-01-01T00:00:00Z"], ["occurred_to", "2026-02-01T00:00:00+01:00"]];
  assert.deepEqual(narrowTo(wide, records), span);
  const within = [["occurred_from", "2026-01-31T12:00:00.000100Z"], ["occurred_to", "2026-01-31T12:00:00.500500Z"]];
  assert.deepEqual(narrowTo(within, records), within);
  assert.equal(narrowTo([["occurred_from", "2026-01-31T12:00:01Z"]], records), null);
  assert.equal(narrowTo([["occurred_to", "2026-01-31T12:00:00Z"]], records), null);
});
