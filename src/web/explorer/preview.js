// The beginning of a value as JSON, without writing all of a large one.

/** The JSON text of a value, cut after `length` characters; numbers as `parse` of json.js keeps them. */
export const preview = (value, length) => {
  let text = "";
  const isFull = () => text.length > length;
  const write = (inner) => {
    if (isFull()) return;
    if (typeof inner === "string") text += JSON.stringify(inner.length > length ? inner.slice(0, length) : inner);
    else if (Array.isArray(inner)) writeAll("[", inner, "]", (each) => write(each));
    else if (isObject(inner)) writeAll("{", Object.keys(inner), "}", (name) => writeMember(name, inner[name]));
    else text += String(inner);
  };
  const writeMember = (name, inner) => {
    text += `${JSON.stringify(name.slice(0, length))}: `;
    write(inner);
  };
  const writeAll = (open, items, close, writeOne) => {
    text += open;
    for (const [index, item] of items.entries()) {
      if (isFull()) return;
      if (index) text += ", ";
      writeOne(item);
    }
    text += close;
  };
  write(value);
  return isFull() ? `${text.slice(0, length - 1)}\u2026` : text;
};

// What a number is kept in has no own enumerable members but its text.
const isObject = (value) => value !== null && typeof value === "object" && typeof value.valueOf() === "object";
