// What stands in the search box: `action:invoice.* actor_id:u-17 since:24h details.tenant:t-1`. Pure functions.
//
// A term is `name:value`; a value with spaces is a JSON string: `actor_id:"u 17"`. Several values of one name mean any of
// them, several names all of them. Times without an offset are UTC, so that a shared URL means the same everywhere.

import { ExactNumber, parse as parseJson } from "./json.js";

/**
 * The names of terms. `many`: may be given several times; `values`: all there are; `prefix`: a value
 * may end in *; `suggests`: the API lists values.
 */
export const FIELDS = {
  action: { many: true, prefix: true, suggests: true, help: "what was done; invoice.* for all that begin so" },
  entity_type: { many: true, prefix: true, suggests: true, help: "what kind of thing it was done to; a prefix may end in *" },
  entity_id: { many: true, suggests: true, help: "which one of its kind" },
  actor_id: { many: true, suggests: true, help: "who did it" },
  actor_type: { values: ["user", "system", "service", "anonymous"], help: "what kind of actor" },
  status: { many: true, values: ["success", "failure", "pending"], help: "how it ended" },
  since: { values: ["15m", "1h", "24h", "7d", "30d"], help: "at this time or later: 24h, 7d, 2026-01-31, 2026-01-31T12:00Z" },
  until: { values: [], help: "before this time" },
  correlation_id: { help: "what it belongs to, e.g. a request" },
  source: { help: "the producer of the event" },
  event_id: { help: "the producer's own id of the event" },
  details: { help: "details.tenant:t-1 for a member of the details" },
};

const ALIASES = {
  actor: "actor_id", user: "actor_id", who: "actor_id", entity: "entity_id", id: "entity_id", type: "entity_type",
  from: "since", after: "since", to: "until", before: "until", correlation: "correlation_id", request: "correlation_id",
  result: "status", outcome: "status", event: "event_id",
};
const PARAMETERS = { since: "occurred_from", until: "occurred_to" };
const UNITS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };
// The service knows no time before the year 1.
const FIRST_MS = Date.parse("0001-01-01");
const AGO = /^(\d{1,6})([smhdw])$/;
const TIME = /^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(Z|z|[+-]\d\d:?\d\d)?)?$/;
const SCALAR = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;
const BARE_SEGMENT = /^[^\s."':]+$/;
const BARE_VALUE = /^[^\s"\p{Cc}][^\s\p{Cc}]*$/u;
const QUOTED = /"(?:[^"\\]|\\.)*"/y;
const SPACE = /\s/;

/**
 * The terms of a text, and what is wrong with it: `{terms, problems}`. A term is `{start, end, name, path, value,
 * isQuoted}`; `path` are the names inside the details. A problem is `{start, end, message, suggestions}`; a suggestion
 * is a text that may stand in place of `[start, end)`.
 */
export const parse = (text) => {
  const terms = [];
  const problems = [];
  let at = 0;
  while (at < text.length) {
    if (SPACE.test(text[at])) {
      at += 1;
      continue;
    }
    const token = readToken(text, at);
    at = token.end;
    const problem = token.problem ?? checkTerm(token);
    if (problem) problems.push({ start: token.start, end: token.end, suggestions: [], ...problem });
    else terms.push(token);
  }
  return { terms, problems: problems.length ? problems : checkTogether(terms) };
};

const readToken = (text, start) => {
  let at = start;
  const path = [""];
  const isQuoted = [false];
  while (at < text.length && text[at] !== ":" && !SPACE.test(text[at])) {
    const isSegment = text[at] === '"' && path.length > 1 && path.at(-1) === "" && !isQuoted.at(-1);
    const quoted = isSegment ? readQuoted(text, at) : null;
    if (quoted) {
      path[path.length - 1] = quoted.value;
      isQuoted[path.length - 1] = true;
      at = quoted.end;
      if (at < text.length && text[at] !== "." && text[at] !== ":") break;
      continue;
    }
    // Only names inside the details have dots.
    if (text[at] === "." && path[0] === "details") {
      path.push("");
      isQuoted.push(false);
    } else {
      path[path.length - 1] += text[at];
    }
    at += 1;
  }
  if (text[at] !== ":") return bareWord(text, start);
  // `""` is the name of a member like any other.
  const isNamed = path.every((segment, index) => segment !== "" || isQuoted[index]);
  return { ...readValue(text, start, at + 1, path), isNamed };
};

const readValue = (text, start, from, [name, ...path]) => {
  const quoted = text[from] === '"' ? readQuoted(text, from) : null;
  const end = quoted ? quoted.end : endOfWord(text, from);
  const term = { start, end, name, path, value: quoted ? quoted.value : text.slice(from, end), isQuoted: Boolean(quoted) };
  if (quoted && end < text.length && !SPACE.test(text[end])) {
    return { ...term, end: endOfWord(text, end), problem: { message: "Put a space after the closing quote." } };
  }
  if (text[from] === '"' && !quoted) {
    return { ...term, end: text.length, isOpen: true, problem: { message: 'The quote is not closed: end the value with ".' } };
  }
  return term;
};

const endOfWord = (text, from) => {
  let end = from;
  while (end < text.length && !SPACE.test(text[end])) end += 1;
  return end;
};

const readQuoted = (text, from) => {
  QUOTED.lastIndex = from;
  const found = QUOTED.exec(text);
  if (!found) return null;
  try {
    return { value: JSON.parse(found[0]), end: QUOTED.lastIndex };
  } catch {
    return null;
  }
};

const bareWord = (text, start) => {
  const end = endOfWord(text, start);
  const word = text.slice(start, end);
  const problem = {
    message: `There is no full text search for \u201c${word}\u201d. Did you mean one of these?`,
    suggestions: ["entity_id", "actor_id", "action", "correlation_id"].map((name) => formatTerm(name, word)),
  };
  return { start, end, name: word, problem };
};

const checkTerm = ({ name, path, value, isNamed }) => {
  const field = Object.hasOwn(FIELDS, name) ? FIELDS[name] : null;
  if (!field) return unknownName(name, value);
  if (name === "details") return checkDetails(path, value, isNamed);
  if (value === "") return { message: `Write a value after ${name}:` };
  if (name in PARAMETERS) return readTime(value, 0) ? null : timeProblem(name);
  if (field.values && !field.values.includes(value)) {
    return {
      message: `${name} is one of ${field.values.join(", ")}.`,
      suggestions: field.values.map((each) => formatTerm(name, each)),
    };
  }
  if (value === "*" && field.prefix) return { message: `To match every value, leave ${name} out.` };
  return null;
};

const unknownName = (name, value) => {
  const alias = name.toLowerCase();
  const near = Object.hasOwn(ALIASES, alias) ? ALIASES[alias] : Object.keys(FIELDS).find((each) => distance(each, name) <= 2);
  return {
    message: `There is no field \u201c${name}\u201d. The fields are ${Object.keys(FIELDS).join(", ")}.`,
    suggestions: near && near !== "details" ? [formatTerm(near, value)] : [],
  };
};

const timeProblem = (name) => ({
  message: `${name} is a span such as 15m, 24h or 7d, a date, or a time such as 2026-01-31T12:00Z.`,
  suggestions: [`${name}:24h`, `${name}:7d`],
});

const checkDetails = (path, value, isNamed) => {
  if (path.length) return isNamed ? null : { message: "Write a name after each dot: details.tenant:t-1" };
  const object = readJson(value);
  if (object !== null && typeof object === "object" && !Array.isArray(object)) return null;
  return { message: "Name a member of the details: details.tenant:t-1", suggestions: [] };
};

const readJson = (text) => {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
};

const checkTogether = (terms) => {
  const seen = new Set();
  for (const term of terms) {
    const { start, end, name } = term;
    if (name !== "details" && !FIELDS[name].many && seen.has(name)) {
      return [{ start, end, suggestions: [], message: `${name} can be given only once.` }];
    }
    seen.add(name);
  }
  const details = terms.filter(({ name }) => name === "details");
  const { clash } = mergeDetails(details);
  return clash
    ? [{ start: clash.start, end: clash.end, suggestions: [], message: "Two terms name the same member of the details." }]
    : [];
};

/** The time in milliseconds that a value of since or until means at `now`; null if it is none. */
export const readTime = (value, now) => {
  const ago = AGO.exec(value);
  if (ago) {
    const ms = now - Number(ago[1]) * UNITS[ago[2]];
    return ms < FIRST_MS ? null : { ms, text: null };
  }
  const time = TIME.exec(value);
  if (!time || !isDayOfCalendar(value.slice(0, 10)) || value.slice(11, 13) === "24") return null;
  const isDay = value.length === 10;
  const text = `${value.toUpperCase().replace(" ", "T")}${isDay || time[1] ? "" : "Z"}`.replace(/([+-]\d\d)(\d\d)$/, "$1:$2");
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : { ms, text: isDay ? `${text}T00:00:00Z` : text };
};

// A Date takes February 30 for March 2.
const isDayOfCalendar = (day) => {
  const ms = Date.parse(day);
  return ms >= FIRST_MS && new Date(ms).toISOString().startsWith(day);
};

// `__proto__` is a name like any other: these objects have no prototype.
const mergeDetails = (terms) => {
  const merged = Object.create(null);
  for (const term of terms) {
    if (!term.path.length) {
      const whole = parseJson(term.value);
      for (const name of Object.keys(whole)) {
        if (name in merged) return { clash: term };
        merged[name] = whole[name];
      }
      continue;
    }
    let inner = merged;
    for (const segment of term.path.slice(0, -1)) {
      inner[segment] ??= Object.create(null);
      inner = inner[segment];
      // Only what was made here has no prototype: no leaf, and nothing of a whole object.
      if (Object(inner) !== inner || Object.getPrototypeOf(inner) !== null) return { clash: term };
    }
    const last = term.path.at(-1);
    if (last in inner) return { clash: term };
    inner[last] = new Leaf(term);
  }
  return { merged };
};

// A number keeps the digits that were written.
class Leaf {
  constructor({ value, isQuoted }) {
    this.json = !isQuoted && SCALAR.test(value) ? value : JSON.stringify(value);
  }
}

const writeDetails = (value) => {
  if (value instanceof Leaf) return value.json;
  if (value instanceof ExactNumber) return value.text;
  if (Array.isArray(value)) return `[${value.map(writeDetails).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).map((name) => `${JSON.stringify(name)}:${writeDetails(value[name])}`).join(",")}}`;
};

/** The parameters of the API's filters that terms mean at `now` (ms), as pairs. */
export const toParams = (terms, now) => {
  const params = [];
  const details = terms.filter(({ name }) => name === "details");
  for (const { name, value } of terms) {
    if (name === "details") continue;
    if (name in PARAMETERS) {
      const { ms, text } = readTime(value, now);
      params.push([PARAMETERS[name], text ?? new Date(ms).toISOString()]);
    } else {
      params.push([name, value]);
    }
  }
  if (details.length) params.push(["details", writeDetails(mergeDetails(details).merged)]);
  return params;
};

const formatValue = (value) => (BARE_VALUE.test(value) ? value : JSON.stringify(value));

/** `name:value`, with quotes where it needs them. */
export const formatTerm = (name, value) => `${name}:${formatValue(String(value))}`;

/** A term for a member of the details: `path` are names, `value` a string, number, boolean or null. */
export const formatDetails = (path, value) => {
  const names = path.map((name) => (BARE_SEGMENT.test(name) ? name : JSON.stringify(name)));
  const isText = typeof value === "string";
  const written = isText && SCALAR.test(value) ? JSON.stringify(value) : isText ? formatValue(value) : String(value);
  return `${["details", ...names].join(".")}:${written}`;
};

const tidy = (text) => text.replace(/^\s+|\s+$/g, "");

const cut = (text, { start, end }) => tidy(`${text.slice(0, start).trimEnd()} ${text.slice(end).trimStart()}`);

const isSame = (term, other) => term.name === other.name && term.value === other.value && JSON.stringify(term.path) === JSON.stringify(other.path);

/** The text without one of its terms. */
export const removeTerm = (text, term) => cut(text, term);

/** The text with `[start, end)` replaced. */
export const replaceRange = (text, { start, end }, replacement) => text.slice(0, start) + replacement + text.slice(end);

/** The text with one more term, which replaces the others of its name where it may be given only once. */
export const addTerm = (text, written) => {
  const [term] = parse(written).terms;
  if (!term) return text;
  const { terms } = parse(text);
  if (terms.some((each) => isSame(each, term))) return text;
  const isSingle = term.name !== "details" && !FIELDS[term.name].many;
  const rest = isSingle ? removeNames(text, [term.name]) : text;
  return tidy(`${rest} ${written}`);
};

/** The text with the term, or without it if it was there. */
export const toggleTerm = (text, written) => {
  const [term] = parse(written).terms;
  const found = parse(text).terms.find((each) => isSame(each, term));
  return found ? cut(text, found) : addTerm(text, written);
};

/** The text without the terms of some names. */
export const removeNames = (text, names) =>
  parse(text)
    .terms.filter(({ name }) => names.includes(name))
    .reduceRight((rest, term) => cut(rest, term), text);

/** The text with the span between two times (texts of RFC 3339) in place of the one that it had. */
export const setTimes = (text, from, to) =>
  tidy(`${removeNames(text, ["since", "until"])} since:${from} until:${to}`);

/** The text that means a filter of the API, e.g. the one that a model made of a question. */
export const fromFilter = ({ details, ...filter }) => {
  const names = { occurred_from: "since", occurred_to: "until" };
  const terms = Object.entries(filter).flatMap(([name, value]) =>
    value === null || value === undefined ? [] : [value].flat().map((each) => formatTerm(names[name] ?? name, each)),
  );
  return [...terms, ...(details ? writeLeaves(details) : [])].join(" ");
};

const writeLeaves = (details) => {
  const found = leaves(details, []);
  // Terms cannot say what is in an array, nor that an object is empty.
  const isWritable = found.every(([, value]) => value === null || typeof value !== "object");
  return isWritable ? found.map((leaf) => formatDetails(...leaf)) : [formatTerm("details", JSON.stringify(details))];
};

const leaves = (value, path) =>
  Object.entries(value).flatMap(([name, inner]) => {
    const isInner = inner !== null && typeof inner === "object" && !Array.isArray(inner) && Object.keys(inner).length;
    return isInner ? leaves(inner, [...path, name]) : [[[...path, name], inner]];
  });

/** What is being written where the caret is: `{start, end, name, prefix}`; `name` is null before the colon. */
export const wordAt = (text, caret) => {
  const { start, end } = tokenAt(text, caret) ?? { start: caret, end: caret };
  const word = text.slice(start, caret);
  const colon = word.indexOf(":");
  return colon < 0
    ? { start, end, name: null, prefix: word }
    : { start, end, name: word.slice(0, colon), prefix: readBeginning(word.slice(colon + 1)) };
};

const tokenAt = (text, caret) => {
  let at = 0;
  while (at <= caret && at < text.length) {
    const token = SPACE.test(text[at]) ? { end: at + 1 } : readToken(text, at);
    // A quote that is still open does not take in what stands behind the caret.
    if (token.end >= caret && token.name) return { start: at, end: token.isOpen ? endOfWord(text, caret) : token.end };
    at = token.end;
  }
  return null;
};

/** The beginning of a value, which may be that of a JSON string. */
const readBeginning = (written) => {
  if (written[0] !== '"') return written;
  const inner = written.slice(1).replace(/(?<!\\)"$/, "");
  return readJson(`"${inner}"`) ?? inner;
};

const distance = (one, other) => {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (one[i - 1] === other[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[other.length];
};
