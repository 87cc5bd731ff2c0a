// What differs between two JSON values: one difference for each path (JSON Pointer, RFC 6901).

import { ExactNumber } from "./json.js";

/** A path with one more step: a name of an object, or an index of an array. */
export const join = (path, step) => `${path}/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`;

const isObject = (value) => value !== null && typeof value === "object" && !(value instanceof ExactNumber);
const isNumber = (value) => typeof value === "number" || value instanceof ExactNumber;

/** Whether two values are the same. Numbers are, where they are the same double: so they are for the hash. */
export const isEqual = (one, other) => {
  if (isNumber(one) && isNumber(other)) return Number(one) === Number(other);
  if (!isObject(one) || !isObject(other)) return one === other;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && isEqual(one[name], other[name]))
  );
};

/**
 * The differences as `{path, kind, before, after}`; `kind` is `added`, `removed` or `changed`.
 *
 * Of arrays, what they have in common at the beginning and at the end is left out. The path of what was removed is that
 * in the older value.
 */
export const diff = (before, after, path = "") => {
  if (isEqual(before, after)) return [];
  if (Array.isArray(before) && Array.isArray(after)) return diffArrays(before, after, path);
  if (isObject(before) && isObject(after) && !Array.isArray(before) && !Array.isArray(after)) {
    return diffObjects(before, after, path);
  }
  return [{ path, kind: "changed", before, after }];
};

const diffObjects = (before, after, path) => {
  const added = Object.keys(after).filter((name) => !Object.hasOwn(before, name));
  return [
    ...Object.keys(before).flatMap((name) =>
      Object.hasOwn(after, name)
        ? diff(before[name], after[name], join(path, name))
        : [{ path: join(path, name), kind: "removed", before: before[name] }],
    ),
    ...added.map((name) => ({ path: join(path, name), kind: "added", after: after[name] })),
  ];
};

const diffArrays = (before, after, path) => {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && isEqual(before[start], after[start])) start += 1;
  let tail = 0;
  while (tail < shorter - start && isEqual(before.at(-1 - tail), after.at(-1 - tail))) tail += 1;
  const [oldEnd, newEnd] = [before.length - tail, after.length - tail];
  const found = [];
  for (let index = start; index < Math.max(oldEnd, newEnd); index += 1) {
    const here = join(path, index);
    if (index >= newEnd) found.push({ path: here, kind: "removed", before: before[index] });
    else if (index >= oldEnd) found.push({ path: here, kind: "added", after: after[index] });
    else found.push(...diff(before[index], after[index], here));
  }
  return found;
};
