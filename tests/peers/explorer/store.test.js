import assert from "node:assert/strict";
import { test } from "node:test";
import { readUrl, writeUrl } from "../../../src/web/explorer/store.js";

const PAGE = "https://audit.example.org/explorer";
const ID = "01a222a3-3c95-7357-8f00-fce2a6f4fef0";
const DEFAULTS = {
  q: "",
  record: null,
  version: null,
  zone: "utc",
  view: "records",
  changes: { operations: ["update", "delete"], by: null },
  ignored: [],
};

test("a URL opens the state that wrote it", () => {
  const states = [
    {},
    { q: 'actor_id:"a b" since:24h', zone: "local" },
    { record: ID, version: 3 },
    { view: "changes", record: ID },
    { view: "changes", changes: { operations: ["delete"], by: "<b>&operation=create\u202e" } },
    { view: "changes", changes: { operations: ["create", "update", "delete"], by: null } },
  ];
  for (const state of states) {
    const whole = { ...DEFAULTS, ...state };
    const url = writeUrl(`${PAGE}?q=old&more=1#part`, whole);
    assert.deepEqual(readUrl(url), whole, url);
    assert.equal(writeUrl(url, readUrl(url)), url);
  }
});

test("a URL that somebody has written by hand opens what can be meant", () => {
  const queries = ["", "record=1", "version=3x&version=0", "zone=mars", "view=x", "view=changes&operation=drop", "changed_by="];
  for (const query of queries) {
    const { view, ignored, ...rest } = readUrl(`${PAGE}?${query}`);
    assert.deepEqual({ ...rest, ignored: [], view: "records" }, DEFAULTS, query);
    assert.equal(view, query.startsWith("view=changes") ? "changes" : "records");
  }
  assert.equal(readUrl(`${PAGE}?record=${ID.toUpperCase()}`).record, ID);
});

test("what a URL says and the page cannot read is named", () => {
  const namesOf = (query) => readUrl(`${PAGE}?${query}`).ignored.map(({ name, value }) => `${name}=${value}`);
  assert.deepEqual(namesOf("record=notauuid&version=3x&version=2&zone=mars&view=x&operation=drop&operation=create"), [
    "record=notauuid", "version=3x", "zone=mars", "view=x", "operation=drop",
  ]);
  assert.deepEqual(namesOf(`record=${ID}&version=2&zone=local&view=changes&operation=delete&toString=1&q=x`), []);
  assert.deepEqual(namesOf("record=&version=&zone="), []);
});

test("a URL says no more than the state needs", () => {
  assert.equal(writeUrl(PAGE, DEFAULTS), `${PAGE}?zone=utc`);
  assert.equal(writeUrl(PAGE, { ...DEFAULTS, version: 2 }), `${PAGE}?zone=utc`);
  assert.equal(writeUrl(PAGE, { ...DEFAULTS, changes: { operations: ["create"], by: "x" } }), `${PAGE}?zone=utc`);
});
