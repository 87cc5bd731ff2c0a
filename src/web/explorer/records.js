// Loads the list: the first page of a search, and further ones before somebody scrolls to them.

import { asProblem, get, isAborted } from "./api.js";
import { parse as parseJson } from "./json.js";
import { isBehind, mergeRows, narrowTo } from "./order.js";
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

/** Creates the loader. `loaded` is called with the filter of a search once its first page is there. */
export const createRecords = (store, { loaded }) => {
  let controller = new AbortController();
  // For the pages below the first one, which go with the rows.
  let paging = new AbortController();
  let filter = [];
  let wanted = 0;
  let isRunning = false;
  let known = new Set();

  const setList = (patch) => store.set(({ list }) => ({ list: { ...list, ...patch } }));

  const search = async (q) => {
    controller.abort();
    paging.abort();
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

  /** Shows the first page of a search, in place of all rows. */
  const begin = ({ items, total, total_relation: relation, next_cursor: cursor }) => {
    paging.abort();
    paging = new AbortController();
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
    const { signal } = paging;
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

  /** Whether a record that matches belongs among the rows. Below them it comes with the next pages. */
  const isMissing = (record) => {
    const { rows, cursor } = store.get().list;
    return !known.has(record.id) && !(cursor && isBehind(record, rows.at(-1)));
  };

  const findPage = (params, signal) =>
    get("audits", [...params, ["limit", PAGE], ["count", "capped"]], { signal, parse: parseJson });

  /**
   * What the search finds and the list lacks: `fresh` of its first page `page`, and `late` of those further down, which
   * are looked for at the times of `heard`, records of the feed. `isGap` says that there may be more. Null while the
   * first page of a search is on its way, which has what is new.
   */
  const findNew = async (heard) => {
    if (store.get().list.isStale) return null;
    const { signal } = controller;
    const page = await findPage(filter, signal);
    const fresh = page.items.filter(isMissing);
    const last = page.next_cursor && page.items.at(-1);
    const isGap = Boolean(last) && fresh.at(-1) === last;
    const below = isGap || !last ? [] : heard.filter((record) => isMissing(record) && isBehind(record, last));
    const span = below.length ? narrowTo(filter, below) : null;
    const found = span ? await findPage(span, signal) : { items: [], next_cursor: null };
    if (signal.aborted) throw new DOMException("", "AbortError");
    const late = found.items.filter((record) => isMissing(record) && isBehind(record, last));
    return { fresh, late, isGap: isGap || found.next_cursor !== null, page };
  };

  /** Adds records where they belong, and shows the total of `page`. */
  const merge = (found, { total, total_relation: relation }) => {
    const added = found.filter(({ id }) => !known.has(id)).map(toRow);
    for (const { id } of added) known.add(id);
    const { rows } = store.get().list;
    setList({ rows: added.length ? mergeRows(rows, added) : rows, total, relation });
  };

  /** A change of the feed: a row is shown as the record is now. */
  const apply = ({ audit_id: id, operation, record }) => {
    const { rows, removed } = store.get().list;
    if (!known.has(id)) return;
    if (operation === "delete") return setList({ removed: new Set([...removed, id]) });
    setList({ rows: rows.map((row) => (row.id === id && record ? toRow(record) : row)) });
  };

  return { search, begin, need, more, findNew, merge, apply };
};
