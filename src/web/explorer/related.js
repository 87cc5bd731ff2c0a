// Searches that lead on from a record, as texts of the search box.

import { formatTerm, setTimes } from "./query.js";

const AROUND_MS = 15 * 60_000;

const toText = (ms) => new Date(ms).toISOString();

/** Each as `{label, q}`; those whose field the record has not are left out. */
export const relatedSearches = (record) => {
  const { action, entity_type, entity_id, actor_id, correlation_id } = record;
  const time = Date.parse(record.occurred_at);
  const searches = [
    { label: "Same entity", q: `${formatTerm("entity_type", entity_type)} ${formatTerm("entity_id", entity_id)}` },
    {
      label: "Same actor, 15 minutes around",
      q: setTimes(formatTerm("actor_id", actor_id), toText(time - AROUND_MS), toText(time + AROUND_MS)),
    },
    { label: "Same action", q: formatTerm("action", action) },
  ];
  if (!correlation_id) return searches;
  return [...searches, { label: "Same correlation", q: formatTerm("correlation_id", correlation_id) }];
};
