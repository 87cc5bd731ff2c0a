// Loads the list: the first page of a search, and further ones before somebody scrolls to them.

import { asProblem, get, isAborted } from "./api.js";
import { parse as parseJson } from "./json.js";
import { parse, toParams } from "./query.js";
import { preview } from "./tree.js";

const PAGE = 50;
// At most so many rows are loaded beyond the last one that is seen.
const AHEAD = 400;
const RETRIES = 2;

export const EMPTY_LIST = {
  rows: [], total: null, relation: null, cursor: null, isLoading: false, isStale: false, isLoadingMore: false, error: null,
  moreError: null, removed: new Set(),
};

/** A row is all that the list shows of a record: of a million records nobody could keep the details. */
export const toRow = ({ details, ...record }) => ({ ...record, preview: preview(details) });

const wait = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("", "AbortError"));
    });
  });

const isBehind = (row, other) =>
  row.occurred_at === other.occurred_at ? row.id < other.id : row.occurred_at < other.occurred_at;

/** Creates the loader. `loaded` is called with the filter of a search once its first page is there. */
export const createRecords = (store, { loaded }) => {
  let controller = new AbortController();
  let filter = [];
  let wanted = 0;
  let isRunning = false;
  let known = new Set();

  const setList = (patch) => store.set(({ list }) => ({ list: { ...list, ...patch } }));

  const search = async (q) => {
    controller.abort();
    const { signal } = (controller = new AbortController());
    const { terms, problems } = parse(q);
    store.set({ terms, problems });
    if (problems.length) {
      setList({ ...EMPTY_LIST, removed: new Set() });
      store.set({ filter: null });
      loaded(null, signal);
      return;
    }
    filter = toParams(terms, Date.now());
    store.set({ filter });
    setList({ isLoading: true, isStale: true, isLoadingMore: false, error: null, moreError: null });
    try {
      const page = await get("audits", [...filter, ["limit", PAGE]], { signal, parse: parseJson });
      begin(page);
    } catch (error) {
      if (isAborted(error)) return;
      setList({ isLoading: false, error: asProblem(error) });
      return;
    }
    loaded(filter, signal);
  };

  const begin = ({ items, total, total_relation: relation, next_cursor: cursor }) => {
    wanted = 0;
    isRunning = false;
    known = new Set(items.map(({ id }) => id));
    const searchId = (store.get().list.searchId ?? 0) + 1;
    setList({ ...EMPTY_LIST, rows: items.map(toRow), removed: new Set(), total, relation, cursor, searchId });
  };

  /** Somebody sees the row with this index. As far as one has come, so far ahead is loaded: few scroll at all. */
  const need = (index) => {
    wanted = Math.max(wanted, index + Math.min(AHEAD, index));
    if (!store.get().list.moreError) run();
  };

  const more = () => {
    setList({ moreError: null });
    wanted = Math.max(wanted, store.get().list.rows.length + 1);
    run();
  };

  const run = async () => {
    if (isRunning || store.get().list.isStale) return;
    const { signal } = controller;
    const isWanted = () => store.get().list.cursor && store.get().list.rows.length < wanted;
    if (!isWanted()) return;
    isRunning = true;
    setList({ isLoadingMore: true });
    try {
      while (isWanted()) append(await nextPage(signal));
    } catch (error) {
      if (isAborted(error)) return;
      setList({ moreError: asProblem(error) });
    }
    isRunning = false;
    setList({ isLoadingMore: false });
  };

  const nextPage = async (signal) => {
    const params = [...filter, ["limit", PAGE], ["count", "none"], ["cursor", store.get().list.cursor]];
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await get("audits", params, { signal, parse: parseJson });
      } catch (error) {
        if (isAborted(error) || !error.isTemporary || attempt === RETRIES) throw error;
        await wait(1000 * (error.retryAfter ?? 2 ** attempt), signal);
      }
    }
  };

  const append = ({ items, next_cursor: cursor }) => {
    const { rows } = store.get().list;
    // The same array: with ten thousand rows, a copy for each page would add up.
    for (const item of items) {
      if (known.has(item.id)) continue;
      known.add(item.id);
      rows.push(toRow(item));
    }
    setList({ rows, cursor });
  };

  /** The newest records of the search that are not in the list, and whether there may be more of them than these. */
  const findNew = async () => {
    const { signal } = controller;
    // The first page of a search is on its way: what is new is in it.
    if (store.get().list.isStale) return { fresh: [] };
    const page = await get("audits", [...filter, ["limit", PAGE], ["count", "capped"]], { signal, parse: parseJson });
    const fresh = page.items.filter(({ id }) => !known.has(id));
    if (signal.aborted) throw new DOMException("", "AbortError");
    return { fresh, isGap: fresh.length === PAGE && known.size > 0, page };
  };

  /** Adds new records where they belong. Returns how many are above the others. */
  const merge = (fresh, { total, total_relation: relation }) => {
    const { rows } = store.get().list;
    const added = fresh.filter(({ id }) => !known.has(id)).map(toRow);
    for (const { id } of added) known.add(id);
    const merged = [];
    let next = 0;
    for (const row of rows) {
      while (next < added.length && isBehind(row, added[next])) merged.push(added[next++]);
      merged.push(row);
    }
    setList({ rows: [...merged, ...added.slice(next)], total, relation });
  };

  /** A change of the feed: a row is shown as the record is now. */
  const apply = ({ audit_id: id, operation, record }) => {
    const { rows, removed } = store.get().list;
    if (!known.has(id)) return;
    if (operation === "delete") return setList({ removed: new Set([...removed, id]) });
    setList({ rows: rows.map((row) => (row.id === id && record ? toRow(record) : row)) });
  };

  return { search, need, more, findNew, merge, apply };
};
