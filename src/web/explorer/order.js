// Where records stand in the list: the newest first, and of those of one time the one with the greater id.

// A time of the API ends in Z, behind the six digits of a fraction or none. Without the Z, texts sort as their times do.
const timeOf = ({ occurred_at: time }) => time.slice(0, -1);

/** Whether a record stands below another one. */
export const isBehind = (record, other) =>
  timeOf(record) === timeOf(other) ? record.id < other.id : timeOf(record) < timeOf(other);

/** Two lists of records as one. Each of them has its newest first. */
export const mergeRows = (rows, added) => {
  const merged = [];
  let next = 0;
  for (const row of rows) {
    while (next < added.length && isBehind(row, added[next])) merged.push(added[next++]);
    merged.push(row);
  }
  return [...merged, ...added.slice(next)];
};

/** The filter, narrowed to the milliseconds from the first to the last of the records; null if that leaves no time. */
export const narrowTo = (filter, records) => {
  const times = records.map(({ occurred_at: time }) => Date.parse(time));
  const { occurred_from: since, occurred_to: until } = Object.fromEntries(filter);
  const [first, end] = [Math.min(...times), Math.max(...times) + 1];
  // The filter's own times may have microseconds, which a Date loses.
  const from = Date.parse(since) >= first ? since : new Date(first).toISOString();
  const to = Date.parse(until) <= end ? until : new Date(end).toISOString();
  if (Date.parse(from) >= Date.parse(to)) return null;
  const others = filter.filter(([name]) => name !== "occurred_from" && name !== "occurred_to");
  return [...others, ["occurred_from", from], ["occurred_to", to]];
};
