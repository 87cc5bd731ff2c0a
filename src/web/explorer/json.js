// JSON whose numbers keep every digit. JSON.parse rounds 12345678901234567890, and drops the zero of 1.10.

const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/g;
// No string of a record begins with it: PostgreSQL cannot store it.
const MARK = "\u0000";

/** A number that JavaScript would write otherwise: `text` is how it was sent. */
export class ExactNumber {
  constructor(text) {
    this.text = text;
  }

  valueOf() {
    return Number(this.text);
  }

  toString() {
    return this.text;
  }
}

/** The value of a JSON text; what would be written otherwise is an `ExactNumber`. Throws `SyntaxError`. */
export const parse = (text) => {
  let isMarked = false;
  const marked = text.replace(TOKENS, (token) => {
    if (token[0] === '"' || String(Number(token)) === token) return token;
    isMarked = true;
    return `"\\u0000${token}"`;
  });
  return isMarked ? JSON.parse(marked, unmark) : JSON.parse(text);
};

const unmark = (_, value) =>
  typeof value === "string" && value[0] === MARK ? new ExactNumber(value.slice(1)) : value;

/** The value as JSON text for people to read and to copy, with its numbers as they were sent. */
export const stringify = (value, indent = "") => {
  if (value instanceof ExactNumber) return value.text;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}  `;
  const items = Array.isArray(value)
    ? value.map((item) => inner + stringify(item, inner))
    : Object.keys(value).map((name) => `${inner}${JSON.stringify(name)}: ${stringify(value[name], inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return items.length ? `${open}\n${items.join(",\n")}\n${indent}${close}` : open + close;
};
