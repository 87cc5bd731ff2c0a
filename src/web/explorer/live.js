// New records as they come: the feed of the ledger tells that something has changed, and the list asks for it with its
// own filter. While one scrolls, nothing moves: what is new waits behind a button.

import { get, isAborted, urlOf } from "./api.js";
import { parse } from "./json.js";

// After a change, others that come at the same time are waited for.
const GATHER_MS = 400;
const RETRY_MS = [1000, 2000, 5000, 10_000, 30_000];
const AGGREGATES_MS = 20_000;

export const NOT_LIVE = { isOn: false, state: "off", pending: 0 };

/** Creates the follower. `records` is the loader of the list, `refresh` loads what stands beside it. */
export const createLive = (store, records, refresh) => {
  let source = null;
  let after = null;
  let failures = 0;
  let timer = null;
  let gathering = null;
  let found = null;
  let refreshed = 0;
  let refreshing = null;
  let isScrolled = false;
  let generation = 0;

  const setLive = (patch) => store.set(({ live }) => ({ live: { ...live, ...patch } }));

  const start = async () => {
    stop();
    const mine = generation;
    setLive({ isOn: true, state: "connecting", pending: 0 });
    try {
      if (after === null) after = (await get("ledger")).size - 1;
      if (mine !== generation) return;
      open(mine);
      gather();
    } catch {
      if (mine === generation) again(mine);
    }
  };

  // EventSource gives up after an answer that is no stream, such as 503: then this connects anew.
  const open = (mine) => {
    source = new EventSource(urlOf("ledger/changes/stream", after < 0 ? {} : { after }));
    source.onopen = () => {
      failures = 0;
      setLive({ state: "on" });
    };
    source.addEventListener("change", (event) => {
      after = Number(event.lastEventId);
      take(parse(event.data));
    });
    source.onerror = () => {
      if (mine !== generation) return;
      source.close();
      again(mine);
    };
  };

  const again = (mine) => {
    setLive({ state: "waiting" });
    const delay = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
    failures += 1;
    timer = setTimeout(() => {
      if (mine === generation) resume(mine);
    }, delay);
  };

  const resume = async (mine) => {
    try {
      if (after === null) after = (await get("ledger")).size - 1;
      if (mine === generation) open(mine);
    } catch {
      if (mine === generation) again(mine);
    }
  };

  const take = (change) => {
    records.apply(change);
    if (change.operation !== "delete") gather();
  };

  const gather = () => {
    gathering ??= setTimeout(async () => {
      gathering = null;
      const mine = generation;
      try {
        found = await records.findNew();
        if (mine === generation) showOrKeep();
      } catch (error) {
        // The next change asks again; the list itself says what fails.
        if (!isAborted(error)) found = null;
      }
    }, GATHER_MS);
  };

  const showOrKeep = () => {
    if (!found?.fresh.length) return;
    if (isScrolled) setLive({ pending: found.fresh.length, isMore: found.isGap });
    else showPending();
  };

  const showPending = () => {
    if (!found) return;
    if (found.isGap) records.search(store.get().q);
    else records.merge(found.fresh, found.page);
    found = null;
    setLive({ pending: 0 });
    clearTimeout(refreshing);
    refreshing = setTimeout(() => {
      refreshed = Date.now();
      refresh();
    }, refreshed + AGGREGATES_MS - Date.now());
  };

  const stop = () => {
    generation += 1;
    source?.close();
    source = null;
    clearTimeout(timer);
    clearTimeout(gathering);
    clearTimeout(refreshing);
    gathering = null;
    found = null;
  };

  return {
    toggle: () => {
      if (!store.get().live.isOn) {
        start();
        return;
      }
      stop();
      after = null;
      setLive(NOT_LIVE);
    },
    /** The list was scrolled, or is at its top again. */
    setScrolled: (value) => {
      if (value === isScrolled) return;
      isScrolled = value;
      if (!value && store.get().live.pending) showPending();
    },
    /** A new search: what was found belongs to the one before. */
    forget: () => {
      clearTimeout(refreshing);
      found = null;
      if (store.get().live.pending) setLive({ pending: 0 });
    },
  };
};
