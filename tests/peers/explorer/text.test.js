import assert from "node:assert/strict";
import { test } from "node:test";
import { marked, nameOf, plain } from "../../../src/web/explorer/text.js";
import { formatFull, formatSpan, formatTick, formatTime } from "../../../src/web/explorer/time.js";
import { readUrl, writeUrl } from "../../../src/web/explorer/store.js";

const shown = (parts) => parts.map((part) => (typeof part === "string" ? part : `[${part.props.children}]`)).join("");

test("what cannot be seen, or reorders its neighbours, is a badge", () => {
  assert.equal(shown(marked("a\u202eb")), "a[RLO]b");
  assert.equal(shown(marked("\u0000\n\u200b\u2028\u2029\ufeff\u00ad")), "[NUL LF ZWSP LS PS BOM U+00AD]");
  assert.equal(shown(marked("tag\u{e0041}")), "tag[U+E0041]");
  assert.equal(shown(marked("plain é 漢字 עברית")), "plain é 漢字 עברית");
  assert.equal(shown(marked("\u0001".repeat(20))), "[U+0001 U+0001 U+0001 U+0001 U+0001 U+0001 U+0001 U+0001 +12]");
});

test("what has no ink, and a space that could be another or none, is a badge", () => {
  assert.equal(shown(marked("admin\u3164")), "admin[U+3164]");
  assert.equal(shown(marked("a\u034f\u2800b\u{e0100}")), "a[U+034F U+2800]b[U+E0100]");
  assert.equal(shown(marked("u\u00a017\u202fb")), "u[NBSP]17[NNBSP]b");
  assert.equal(shown(marked(" u  17 ")), "[SP]u  17[SP]");
  assert.equal(shown(marked("\u2764\ufe0f a\ufe0f\ufe0e \u3000 b")), "\u2764\ufe0f a[U+FE0F U+FE0E] \u3000 b");
  assert.equal(plain("u "), "u[SP]");
});

test("a long run of spaces takes no time", () => {
  const begun = performance.now();
  assert.equal(marked(`x${" ".repeat(65_536)}x`).length, 1);
  assert.ok(performance.now() - begun < 500);
});

test("a row has few badges, whatever is in it", () => {
  const parts = marked("x\u200b".repeat(1000), 3);
  assert.equal(parts.filter((part) => typeof part !== "string").length, 3);
  assert.equal(parts.at(-1), "\u2026");
});

test("in titles every hidden character is written out", () => {
  assert.equal(plain("a\u202eb\n"), "a[RLO]b[LF]");
  assert.equal(nameOf("\u0085"), "U+0085");
});

test("times say their zone, and a chart is no finer than its span", () => {
  const time = "2026-01-31T12:00:00.250000Z";
  assert.equal(formatTime(time, "utc"), "2026-01-31 12:00:00.250");
  assert.equal(formatFull(time, "utc"), "2026-01-31 12:00:00.250 UTC");
  assert.match(formatFull(time, "local"), /[+-]\d\d:\d\d$/);
  assert.equal(formatTime("no time", "utc"), "no time");
  assert.equal(formatTick(time, "utc", 90 * 86_400_000), "2026-01-31");
  assert.equal(formatTick(time, "utc", 86_400_000), "01-31 12:00");
  assert.equal(formatTick(time, "utc", 60_000), "12:00:00");
  assert.equal(formatTick(time, "utc", 10_000), "12:00:00.250");
  assert.deepEqual([36e5, 5400e3, 86_400_000, 500, 0.1].map(formatSpan), ["1 h", "1.5 h", "1 d", "500 ms", "less than 1 ms"]);
});

test("the state in the URL is read as it was written", () => {
  const page = "http://127.0.0.1:8000/audit/explorer?x=1#y";
  const id = "019c1400-7c3d-7e4f-8a5b-6c7d8e9f0a1b";
  const written = new URL(page);
  written.hash = "";
  written.search = new URLSearchParams({ q: 'actor_id:"u 17" status:failure', record: id, zone: "local", view: "changes" });
  const read = readUrl(written);
  assert.deepEqual([read.q, read.record, read.zone, read.view], ['actor_id:"u 17" status:failure', id, "local", "changes"]);
  assert.deepEqual(readUrl(writeUrl(page, read)), read);
  assert.equal(new URL(writeUrl(page, read)).pathname, "/audit/explorer");
  const hostile = readUrl("http://x/explorer?record=../../etc&zone=%3Cb%3E&view=__proto__");
  assert.deepEqual([hostile.record, hostile.zone, hostile.view, hostile.q], [null, "utc", "records", ""]);
});
