import assert from "node:assert/strict";
import { test } from "node:test";
import { diff, isEqual } from "../../../src/web/explorer/diff.js";
import { parse } from "../../../src/web/explorer/json.js";
import { childrenOf, clip, countOf, kindOf, preview, shorten } from "../../../src/web/explorer/tree.js";
import { vectors } from "./vectors.js";

const differences = (before, after) =>
  diff(parse(before), parse(after)).map(({ path, kind, before: old, after: now }) => [path, kind, old, now]);

test("each difference has the path of RFC 6901", () => {
  assert.deepEqual(differences('{"a":{"b/c":1,"d~e":[1]},"":1,"f":1}', '{"a":{"b/c":2,"d~e":[1,2]},"":2,"g":1}'), [
    ["/a/b~1c", "changed", 1, 2],
    ["/a/d~0e/1", "added", undefined, 2],
    ["/", "changed", 1, 2],
    ["/f", "removed", 1, undefined],
    ["/g", "added", undefined, 1],
  ]);
});

test("what kind a value is, is a difference; how a number is written is none", () => {
  assert.deepEqual(differences('{"a":1,"b":[],"c":null,"d":1.0}', '{"a":"1","b":{},"c":{},"d":1}').map(([path]) => path), ["/a", "/b", "/c"]);
  assert.ok(isEqual(parse("1152921504606846976"), parse("1152921504606847000")));
  assert.ok(!isEqual(parse('{"a":1}'), parse('{"b":1}')));
  assert.deepEqual(differences('{"__proto__":1}', '{"constructor":1}').map(([path, kind]) => [path, kind]), [
    ["/__proto__", "removed"],
    ["/constructor", "added"],
  ]);
});

test("an item that comes in or goes is one difference", () => {
  assert.deepEqual(differences("[1,2,3]", "[0,1,2,3]"), [["/0", "added", undefined, 0]]);
  assert.deepEqual(differences("[0,1,2,3]", "[0,2,3]"), [["/1", "removed", 1, undefined]]);
  assert.deepEqual(differences("[1,1]", "[1]"), [["/1", "removed", 1, undefined]]);
  assert.deepEqual(differences("[[1,2],3]", "[[1,4],5,6]").map(([path]) => path), ["/0/1", "/1", "/2"]);
});

test("the differences of the largest details are found", () => {
  const before = parse(vectors.large);
  const after = parse(vectors.large.replace('"bottom"', '"other"').replace("[0,", "[9,0,"));
  assert.deepEqual(diff(before, after).map(({ path }) => path), ["/a".repeat(31), "/many/0"]);
});

test("a row shows the beginning of a value, and never half of a character", () => {
  assert.equal(clip("ab\u{1f600}", 3), "ab");
  assert.equal(clip("ab\u{1f600}", 4), "ab\u{1f600}");
  assert.deepEqual([shorten("abcd", 4), shorten("abcde", 4)], ["abcd", "abc\u2026"]);
  assert.equal(preview(parse('{"a":[1.10,null,"x"],"b":{}}')), '{"a": [1.10, null, "x"], "b": {}}');
  const shown = preview(parse(vectors.large));
  assert.ok(shown.length <= 200 && shown.endsWith("\u2026"), shown);
  assert.ok(preview("x".repeat(65_000)).length <= 200);
});

test("the rows below a value come a page at a time", () => {
  const value = parse('{"a/b":[5,6,7],"c":1.10,"d":null,"e":true,"f":"x"}');
  assert.deepEqual(Object.values(value).map(kindOf), ["array", "number", "null", "boolean", "text"]);
  assert.equal(kindOf(value), "object");
  assert.deepEqual([countOf(value), countOf(value["a/b"]), countOf(value.c)], [5, 3, 0]);
  assert.deepEqual(childrenOf(value["a/b"], "/a~1b", 2), [
    { name: "0", path: "/a~1b/0", value: 5 },
    { name: "1", path: "/a~1b/1", value: 6 },
  ]);
  assert.equal(childrenOf(value, "", 1)[0].path, "/a~1b");
});
