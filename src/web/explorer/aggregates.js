// Loads the histogram and the facets of a search. Each fails alone, and none of them keeps the list waiting.

import { asProblem, get, isAborted } from "./api.js";
import { FIELDS } from "./query.js";

// The service works on two at once in each process.
const AT_ONCE = 2;
const BUCKETS = 60;
const RETRIES = 2;

export const FACETS = ["status", "action", "entity_type", "actor_id", "actor_type"];

/** `data` stays while newer is loaded, and is stale then; `error` is a `Problem`. */
export const EMPTY_AGGREGATES = {
  histogram: { data: null, isLoading: false, error: null },
  facets: Object.fromEntries(FACETS.map((field) => [field, { data: null, isLoading: false, error: null }])),
};

/** Creates the loader of what stands beside the list. */
export const createAggregates = (store) => {
  let queue = [];
  let running = 0;

  const setHistogram = (patch) => store.set(({ histogram }) => ({ histogram: { ...histogram, ...patch } }));
  const setFacet = (field, patch) =>
    store.set(({ facets }) => ({ facets: { ...facets, [field]: { ...facets[field], ...patch } } }));

  const histogramJob = (filter, signal) => ({
    set: setHistogram,
    signal,
    load: () => get("audits/histogram", [...filter, ["buckets", BUCKETS]], { signal }),
  });

  // A facet shows what one could have beside the chosen values: its own terms do not count, unless one is a prefix.
  const facetJob = (field, filter, signal) => {
    const isNarrowed = FIELDS[field].prefix && filter.some(([name, value]) => name === field && value.endsWith("*"));
    const others = isNarrowed ? filter : filter.filter(([name]) => name !== field);
    return {
      set: (patch) => setFacet(field, patch),
      signal,
      load: () => get("audits/facets", [...others, ["field", field]], { signal }),
    };
  };

  const add = (jobs) => {
    for (const job of jobs) job.set({ isLoading: true, error: null });
    queue.push(...jobs);
    while (running < AT_ONCE && queue.length) run(queue.shift());
  };

  const run = async (job) => {
    running += 1;
    await finish(job);
    running -= 1;
    if (queue.length) run(queue.shift());
  };

  const finish = async (job, attempt = 0) => {
    if (job.signal.aborted) return;
    try {
      job.set({ data: await job.load(), isLoading: false, error: null });
    } catch (error) {
      if (isAborted(error) || job.signal.aborted) return;
      if (error.isTemporary && attempt < RETRIES) {
        await new Promise((resolve) => setTimeout(resolve, 1000 * (error.retryAfter ?? attempt + 1)));
        await finish(job, attempt + 1);
        return;
      }
      const problem = asProblem(error);
      job.set({ isLoading: false, error: problem });
    }
  };

  /** Loads all of them for a filter of the API. */
  const load = (filter, signal) => {
    queue = [];
    add([histogramJob(filter, signal), ...FACETS.map((field) => facetJob(field, filter, signal))]);
  };

  const clear = () => {
    queue = [];
    store.set(EMPTY_AGGREGATES);
  };

  return {
    load,
    clear,
    reloadHistogram: (filter, signal) => add([histogramJob(filter, signal)]),
    reloadFacet: (field, filter, signal) => add([facetJob(field, filter, signal)]),
  };
};
