import assert from "node:assert/strict";
import { test } from "node:test";
import {
  addTerm, formatDetails, formatTerm, fromFilter, parse, removeNames, removeTerm, replaceRange, setTimes, toParams,
  toggleTerm, wordAt,
} from "../../../src/web/explorer/query.js";

const NOW = Date.UTC(2026, 0, 31, 12);

const filters = (text) => {
  const { terms, problems } = parse(text);
  assert.deepEqual(problems, [], text);
  return toParams(terms, NOW);
};
const problemsOf = (text) => parse(text).problems.map(({ message }) => message);

test("terms are filters of the API", () => {
  assert.deepEqual(filters("action:invoice.* actor_id:u-17 status:failure since:24h details.tenant:t-1"), [
    ["action", "invoice.*"],
    ["actor_id", "u-17"],
    ["status", "failure"],
    ["occurred_from", "2026-01-30T12:00:00.000Z"],
    ["details", '{"tenant":"t-1"}'],
  ]);
  assert.deepEqual(filters("  "), []);
  assert.deepEqual(filters("status:failure\tstatus:pending"), [["status", "failure"], ["status", "pending"]]);
  assert.deepEqual(filters("entity_id:a:b entity_id:*"), [["entity_id", "a:b"], ["entity_id", "*"]]);
});

test("a value may be a JSON string", () => {
  assert.deepEqual(filters('actor_id:"u 17" entity_id:"a\\"b\\n\\u202e"'), [["actor_id", "u 17"], ["entity_id", 'a"b\n\u202e']]);
});

test("times without an offset are UTC, whatever the zone of the browser", () => {
  assert.deepEqual(filters("since:2026-01-30 until:2026-01-31T10:00"), [
    ["occurred_from", "2026-01-30T00:00:00Z"],
    ["occurred_to", "2026-01-31T10:00Z"],
  ]);
  assert.deepEqual(filters("since:2026-01-30T10:00:00.123456+0200"), [["occurred_from", "2026-01-30T10:00:00.123456+02:00"]]);
  assert.deepEqual(filters('since:"2026-01-30 10:00"'), [["occurred_from", "2026-01-30T10:00Z"]]);
  for (const [span, from] of [["90s", "11:58:30"], ["15m", "11:45:00"], ["2h", "10:00:00"]]) {
    assert.deepEqual(filters(`since:${span}`), [["occurred_from", `2026-01-31T${from}.000Z`]]);
  }
});

test("members of the details are one object; numbers keep their digits, and quotes make a text", () => {
  const text = 'details.a.b:5 details.a.c:"5" details."x.y z":true details.big:12345678901234567890 details.n:null details.v:1.10';
  assert.deepEqual(filters(text), [
    ["details", '{"a":{"b":5,"c":"5"},"x.y z":true,"big":12345678901234567890,"n":null,"v":1.10}'],
  ]);
  assert.deepEqual(filters('details.__proto__.x:1 details:{"tags":["x"]}'), [["details", '{"__proto__":{"x":1},"tags":["x"]}']]);
  assert.equal({}.x, undefined);
});

test("what is wrong is said, with what may have been meant", () => {
  const [bare] = parse("INV-1").problems;
  assert.match(bare.message, /no full text search/);
  assert.deepEqual(bare.suggestions, ["entity_id:INV-1", "actor_id:INV-1", "action:INV-1", "correlation_id:INV-1"]);
  assert.deepEqual(parse("actr_id:3").problems[0].suggestions, ["actor_id:3"]);
  assert.deepEqual(parse("user:3").problems[0].suggestions, ["actor_id:3"]);
  assert.deepEqual(parse("status:bad").problems[0].suggestions, ["status:success", "status:failure", "status:pending"]);
  for (const [text, message] of [
    ["since:yesterday", /span such as/], ["since:2026-13-40", /span such as/], ["actor_id:", /Write a value/],
    ["action:*", /leave action out/], ['actor_id:"abc', /not closed/], ['actor_id:"a"b', /space after/],
    ["actor_type:user actor_type:system", /only once/], ["details.a:1 details.a:2", /same member/],
    ["details.a:1 details.a.b:2", /same member/],
    ['details:{"a":{}} details.a.__proto__.x:1', /same member/], ['details.a:1 details:{"a":2}', /same member/], ["details:x", /Name a member/], ["details.:x", /after each dot/],
    ["details:[1]", /Name a member/], ["toString:1", /no field/], ["constructor:1", /no field/], ["__proto__:1", /no field/],
    ["-status:failure", /no field/], [":", /no field/],
  ]) {
    assert.equal(problemsOf(text).length, 1, text);
    assert.match(problemsOf(text)[0], message, text);
  }
});

test("a suggestion stands in place of what was wrong", () => {
  const text = "status:failure  INV-1 since:1h";
  const [problem] = parse(text).problems;
  assert.equal(replaceRange(text, problem, problem.suggestions[0]), "status:failure  entity_id:INV-1 since:1h");
});

test("whatever a value is, its term means that value again", () => {
  const values = ["u-17", "u 17", '"', "\\", 'a"b', "\u202e", "\n", "a\u0000b", "", "null", "5", "a:b", "*", "\u00a0x", "x\u2028y", "{", "😀"];
  for (const value of values.filter(Boolean)) assert.deepEqual(filters(formatTerm("entity_id", value)), [["entity_id", value]]);
  for (const value of values) {
    for (const path of [["a"], ["a.b", "c d"], [":"], ['"'], ["__proto__", "x"], ["\u202e"]]) {
      const [, json] = filters(formatDetails(path, value))[0];
      const found = path.reduce((inner, name) => Object.getOwnPropertyDescriptor(inner, name).value, JSON.parse(json));
      assert.equal(found, value, JSON.stringify([path, value]));
    }
  }
  for (const value of [5, -1.5, true, false, null]) {
    assert.deepEqual(JSON.parse(filters(formatDetails(["a"], value))[0][1]), { a: value });
  }
});

test("terms are added, taken out and turned", () => {
  assert.equal(addTerm("status:failure", "status:pending"), "status:failure status:pending");
  assert.equal(addTerm("status:failure", "status:failure"), "status:failure");
  assert.equal(addTerm("actor_type:user since:1h", "actor_type:system"), "since:1h actor_type:system");
  assert.equal(toggleTerm("status:failure action:x", "status:failure"), "action:x");
  assert.equal(toggleTerm('actor_id:"u 1"', formatTerm("actor_id", "u 1")), "");
  const text = "action:x  status:failure since:1h";
  assert.equal(removeTerm(text, parse(text).terms[1]), "action:x since:1h");
  assert.equal(removeNames(text, ["action", "since"]), "status:failure");
  assert.equal(
    setTimes("since:24h action:x", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000001Z"),
    "action:x since:1970-01-01T00:00:00Z until:1970-01-01T00:00:00.000001Z",
  );
});

test("the filter that a model made is the text that means it", () => {
  const filter = {
    action: ["invoice.*", "a b"], status: ["failure"], entity_type: null, actor_id: ["u-1"],
    occurred_from: "2026-01-01T00:00:00Z", details: { tenant: "t-1", amount: { to: 5 } },
  };
  assert.deepEqual(filters(fromFilter(filter)), [
    ["action", "invoice.*"], ["action", "a b"], ["status", "failure"], ["actor_id", "u-1"],
    ["occurred_from", "2026-01-01T00:00:00Z"], ["details", '{"tenant":"t-1","amount":{"to":5}}'],
  ]);
  const nested = { details: { a: { b: "1", c: [1, { d: 2 }] }, e: {} } };
  assert.deepEqual(filters(fromFilter(nested)), [["details", JSON.stringify(nested.details)]]);
});

test("the word at the caret is what suggestions are for", () => {
  assert.deepEqual(wordAt("status:failure act", 18), { start: 15, end: 18, name: null, prefix: "act" });
  assert.deepEqual(wordAt("action:inv status:x", 10), { start: 0, end: 10, name: "action", prefix: "inv" });
  assert.deepEqual(wordAt("", 0), { start: 0, end: 0, name: null, prefix: "" });
  assert.deepEqual(wordAt("status:failure ", 15), { start: 15, end: 15, name: null, prefix: "" });
});

test("the word at the caret may have spaces, in quotes", () => {
  assert.deepEqual(wordAt('actor_id:"u 1', 13), { start: 0, end: 13, name: "actor_id", prefix: "u 1" });
  assert.deepEqual(wordAt('actor_id:"u 1" since:1h', 14), { start: 0, end: 14, name: "actor_id", prefix: "u 1" });
  assert.deepEqual(wordAt('actor_id:"u 1 since:1h', 13), { start: 0, end: 13, name: "actor_id", prefix: "u 1" });
  assert.deepEqual(wordAt('actor_id:"a\\"b', 14), { start: 0, end: 14, name: "actor_id", prefix: 'a"b' });
});

test("a member of the details may have no name", () => {
  assert.deepEqual(filters('details."":x details.a."".b:1'), [["details", '{"":"x","a":{"":{"b":1}}}']]);
  assert.deepEqual(filters(formatDetails(["a", "", "b"], "5")), [["details", '{"a":{"":{"b":"5"}}}']]);
  assert.deepEqual(problemsOf("details..x:1"), ["Write a name after each dot: details.tenant:t-1"]);
});

test("a whole object of details keeps the digits of its numbers", () => {
  const details = '{"n":9007199254740993,"v":[1.10]}';
  assert.deepEqual(filters(`details:${details}`), [["details", details]]);
});

test("terms for members with other names are other terms", () => {
  const one = formatDetails(["a,b"], 1);
  assert.equal(addTerm(one, formatDetails(["a", "b"], 1)), `${one} details.a.b:1`);
});

test("names that every object has are unknown like others", () => {
  for (const name of ["constructor", "toString", "__proto__", "hasOwnProperty"]) {
    const [{ message, suggestions }] = parse(`${name}:x`).problems;
    assert.match(message, /^There is no field/);
    assert.deepEqual(suggestions, []);
  }
});

test("a day or an hour that no calendar has is no time", () => {
  const wrong = ["2026-02-30", "2026-02-29T00:00Z", "2026-01-01T24:00Z", "0000-01-01", "999999w"];
  for (const value of wrong) assert.equal(parse(`since:"${value}"`).problems.length, 1, value);
  for (const value of ["2028-02-29", "0001-01-01", "9999-12-31T23:59:59Z", "50000w"]) {
    assert.deepEqual(parse(`since:"${value}"`).problems, [], value);
  }
});
