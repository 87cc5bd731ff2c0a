// Canonical JSON (RFC 8785), over which the hash of a revision is computed. Every number is a double.

import { ExactNumber } from "./json.js";

const LONE_SURROGATE = /\p{Surrogate}/u;

/** The value has no canonical form. The message names the number or says what is wrong. */
export class NotCanonical extends Error {}

/** The canonical text of what `parse` of json.js returns. Throws `NotCanonical`. */
export const canonicalize = (value) => {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "string") return writeText(value);
  if (typeof value === "number" || value instanceof ExactNumber) return writeNumber(value);
  if (Array.isArray(value)) return `[${value.map(canonicalize).join(",")}]`;
  // The default order is that of UTF-16 code units, as RFC 8785 demands (3.2.3).
  const members = Object.keys(value).sort();
  return `{${members.map((name) => `${writeText(name)}:${canonicalize(value[name])}`).join(",")}}`;
};

// RFC 8785 defines texts and numbers as what ECMAScript writes (3.2.2).
const writeText = (text) => {
  if (LONE_SURROGATE.test(text)) throw new NotCanonical("a text has half of a surrogate pair");
  return JSON.stringify(text);
};

const writeNumber = (number) => {
  const double = Number(number);
  if (!Number.isFinite(double)) throw new NotCanonical(`no double holds the number ${number}`);
  return JSON.stringify(double);
};
