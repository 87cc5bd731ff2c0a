// How a JSON value is shown as a tree: what stands in a row, and the rows below it, a page at a time.

import { join } from "./diff.js";
import { ExactNumber } from "./json.js";

/** Characters of a value in one row. */
export const ROW_CHARACTERS = 200;
/** Rows that an opened node shows at once, and with each "more". */
export const PAGE_ROWS = 50;
/** Characters of a long text that are shown with each "more". */
export const PAGE_CHARACTERS = 4_000;

/** `object`, `array`, `text`, `number`, `boolean` or `null`. */
export const kindOf = (value) => {
  if (value === null) return "null";
  if (value instanceof ExactNumber) return "number";
  if (Array.isArray(value)) return "array";
  return typeof value === "string" ? "text" : typeof value;
};

/** How many rows are below a value: 0 where it is no container. */
export const countOf = (value) => {
  const kind = kindOf(value);
  if (kind === "array") return value.length;
  return kind === "object" ? Object.keys(value).length : 0;
};

/** The first `count` rows below a value, as `{name, path, value}`. */
export const childrenOf = (value, path, count) => {
  const names = Array.isArray(value) ? [...value.slice(0, count).keys()] : Object.keys(value).slice(0, count);
  return names.map((name) => ({ name: String(name), path: join(path, name), value: value[name] }));
};

/** The beginning of a text, which never ends in half of a surrogate pair. */
export const clip = (text, limit) => {
  if (text.length <= limit) return text;
  const isCut = /[\ud800-\udbff]/.test(text[limit - 1]) && /[\udc00-\udfff]/.test(text[limit]);
  return text.slice(0, isCut ? limit - 1 : limit);
};

/** The text, or its beginning and an ellipsis, at most `limit` characters in all. */
export const shorten = (text, limit = ROW_CHARACTERS) =>
  text.length > limit ? `${clip(text, limit - 1)}\u2026` : text;

/** The beginning of a value as JSON on one line. It takes no longer for a large value. */
export const preview = (value, limit = ROW_CHARACTERS) => {
  let text = "";
  const write = (item) => {
    const kind = kindOf(item);
    if (kind === "text") text += JSON.stringify(clip(item, limit));
    else if (kind === "array") writeAll("[", item, (each) => write(each), "]");
    else if (kind === "object") writeAll("{", Object.keys(item), (name) => writeMember(name, item[name]), "}");
    else text += String(item);
  };
  const writeMember = (name, item) => {
    text += `${JSON.stringify(clip(name, limit))}: `;
    write(item);
  };
  const writeAll = (open, items, writeOne, close) => {
    text += open;
    for (let index = 0; index < items.length && text.length < limit; index += 1) {
      if (index) text += ", ";
      writeOne(items[index]);
    }
    text += close;
  };
  write(value);
  return shorten(text, limit);
};
