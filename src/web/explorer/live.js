// New records as they come: the feed of the ledger tells that something has changed, and the list asks for it with its
// own filter. While one scrolls, nothing moves: what is new waits behind a button. What was recorded late, with an
// earlier time, is added at that time, and another button leads there.

import { get, isAborted, urlOf } from "./api.js";
import { parse } from "./json.js";
import { isBehind } from "./order.js";

// After a change, others that come at the same time are waited for.
const GATHER_MS = 400;
const RETRY_MS = [1000, 2000, 5000, 10_000, 30_000];
const FAILED_MS = 5000;
const AGGREGATES_MS = 20_000;
// Of so many changes at once, the list is begun anew.
const MAX_HEARD = 1000;

/** `pending` records wait to be shown; `late` are the ids of those that were added further down. */
export const NOT_LIVE = { isOn: false, state: "off", pending: 0, late: [] };

/** Creates the follower. `records` is the loader of the list, `refresh` loads what stands beside it. */
export const createLive = (store, records, refresh) => {
  let source = null;
  let after = null;
  let failures = 0;
  let timer = null;
  let gathering = null;
  let isAsked = false;
  // The records of the changes that nobody has looked for yet, and what was found of them.
  let heard = [];
  let found = null;
  let refreshed = 0;
  let refreshing = null;
  let isScrolled = false;
  let generation = 0;

  const setLive = (patch) => store.set(({ live }) => ({ live: { ...live, ...patch } }));

  const start = async () => {
    stop();
    const mine = generation;
    setLive({ ...NOT_LIVE, isOn: true, state: "connecting" });
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
    found?.late.delete(change.audit_id);
    if (change.operation !== "delete" && change.record) hear([change.record]);
    gather();
  };

  const hear = (changed) => {
    heard = [...heard, ...changed].slice(0, MAX_HEARD + 1);
  };

  const gather = (delay = GATHER_MS) => {
    isAsked = true;
    gathering ??= setTimeout(find, delay, generation);
  };

  const find = async (mine) => {
    const asked = heard;
    let delay = GATHER_MS;
    heard = [];
    isAsked = false;
    try {
      const news = await records.findNew(asked);
      if (mine === generation && news) receive({ ...news, isGap: news.isGap || asked.length > MAX_HEARD });
    } catch (error) {
      // The list itself says what fails.
      if (error.isTemporary && mine === generation) {
        hear(asked);
        isAsked = true;
        delay = FAILED_MS;
      }
    }
    if (mine !== generation) return;
    gathering = null;
    if (isAsked) gather(delay);
  };

  const receive = ({ fresh, late, isGap, page }) => {
    const waiting = new Map([...(found?.late ?? []), ...late.map((record) => [record.id, record])]);
    for (const { id } of fresh) waiting.delete(id);
    found = { fresh, late: waiting, isGap: isGap || Boolean(found?.isGap), page };
    const count = fresh.length + waiting.size;
    if (isScrolled && (count || found.isGap)) setLive({ pending: count, isMore: found.isGap });
    else show();
  };

  const show = () => {
    const { fresh, isGap, page } = found;
    const late = [...found.late.values()].sort((one, other) => (isBehind(one, other) ? 1 : -1));
    const isChanged = isGap || fresh.length || late.length || page.total !== store.get().list.total;
    found = null;
    if (isGap) records.begin(page);
    else records.merge([...fresh, ...late], page);
    setLive({ pending: 0, late: isGap ? [] : [...store.get().live.late, ...late.map(({ id }) => id)] });
    if (isChanged) planRefresh();
  };

  const planRefresh = () => {
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
    heard = [];
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
      if (!value && found) show();
    },
    /** A new search: what was found belongs to the one before. */
    forget: () => {
      clearTimeout(refreshing);
      heard = [];
      found = null;
      const { pending, late } = store.get().live;
      if (pending || late.length) setLive({ pending: 0, late: [] });
    },
    /** The first of the late records is seen. */
    passLate: () => setLive({ late: store.get().live.late.slice(1) }),
  };
};
