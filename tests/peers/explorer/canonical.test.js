import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalize, NotCanonical } from "../../../src/web/explorer/canonical.js";
import { ExactNumber, parse, stringify } from "../../../src/web/explorer/json.js";
import { vectors } from "./vectors.js";

test("canonical JSON has the bytes over which the service computes hashes", () => {
  for (const { sent, canonical } of vectors.canonical) assert.equal(canonicalize(parse(sent)), canonical);
});

test("what has no canonical form is refused with its reason", () => {
  assert.throws(() => canonicalize(parse("[1e400]")), new NotCanonical("no double holds the number 1e400"));
  assert.throws(() => canonicalize(["\ud800"]), NotCanonical);
  assert.throws(() => canonicalize({ "\udc00": 1 }), NotCanonical);
});

test("numbers keep every digit, and strings that look like numbers stay strings", () => {
  const text = '{"10": 12345678901234567890, "2": [1.10, -0, 1E5, 1152921504606846976], "s": "12345678901234567890, 1.10"}';
  const value = parse(text);
  assert.ok(value["10"] instanceof ExactNumber);
  assert.deepEqual(value["2"].map(String), ["1.10", "-0", "1E5", "1152921504606846976"]);
  assert.equal(value.s, "12345678901234567890, 1.10");
  assert.equal(stringify(value).replaceAll(/\s/g, ""), '{"2":[1.10,-0,1E5,1152921504606846976],"10":12345678901234567890,"s":"12345678901234567890,1.10"}');
  assert.equal(stringify(parse('{"a":[],"b":{},"c":[1,null]}')), '{\n  "a": [],\n  "b": {},\n  "c": [\n    1,\n    null\n  ]\n}');
});

test("names that objects inherit are names like others", () => {
  const value = parse('{"__proto__": 1.0, "constructor": {"__proto__": "x"}}');
  assert.equal(canonicalize(value), '{"__proto__":1,"constructor":{"__proto__":"x"}}');
});

test("what is not JSON is refused", () => {
  for (const text of ["", "{", "01", "1.", "[1,]", "NaN", '"\\x"', "'a'", "1.10 1.10"]) {
    assert.throws(() => parse(text), SyntaxError, text);
  }
});

test("64 KB of escaped text is parsed at once", () => {
  const text = JSON.stringify({ text: '"\\'.repeat(16_000), number: 0 }).replace(/0}$/, "1.10}");
  assert.equal(parse(text).text.length, 32_000);
});
