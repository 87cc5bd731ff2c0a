// What one can do on the page. Components get these as `actions`; they change the state by nothing else.
//
// search(q)             shows the records that the text of a search box means, and puts it into the URL
// narrow(term)          the same, with one more term, e.g. formatTerm("actor_id", "u-17") of query.js
// toggle(term)          the same with the term, or without it if it was there
// openRecord(id, version)  opens a record beside the list (it may be one that was removed), at its newest version if
//                       none is given
// closeRecord()         closes it
// show(view)            "records": the list; "changes": what was corrected or removed lately
// filterChanges(patch)  changes what that view shows: `operations` and `by`
// setZone(zone)         "utc" or "local"
// notify(text)          says something in passing, to screen readers too, e.g. "Copied"

import { EMPTY_AGGREGATES, createAggregates } from "./aggregates.js";
import { NOT_ASKED, createAsk } from "./ask.js";
import { NOT_LIVE, createLive } from "./live.js";
import { afterPaint } from "./paint.js";
import { addTerm, removeNames, setTimes, toggleTerm } from "./query.js";
import { EMPTY_LIST, createRecords } from "./records.js";
import { isUuid, readUrl, writeUrl } from "./store.js";
import { createViews, readViews } from "./views.js";

const NOTICE_MS = 4000;
const THEME_KEY = "audit-trail.explorer.theme";
// The same as in style.css.
const NARROW = matchMedia("(max-width: 900px)");
const THEMES = ["auto", "light", "dark"];

const readTheme = () => {
  try {
    const theme = localStorage.getItem(THEME_KEY);
    return THEMES.includes(theme) ? theme : THEMES[0];
  } catch {
    return THEMES[0];
  }
};

/** The state at the start: what the URL and the browser know, and nothing of the service. */
export const initialState = () => {
  const found = readUrl(location.href);
  return {
    ...found,
    draft: found.q,
    terms: [],
    problems: [],
    filter: null,
    selected: found.record,
    list: EMPTY_LIST,
    ...EMPTY_AGGREGATES,
    live: NOT_LIVE,
    ask: NOT_ASKED,
    views: readViews(),
    // The components of later.js, once they are loaded.
    later: null,
    isLaterMissing: false,
    theme: readTheme(),
    isHelpOpen: false,
    isNarrow: NARROW.matches,
    isFacetsOpen: false,
    notice: null,
  };
};

export const createActions = (store) => {
  let noticeTimer = null;
  let signal = null;

  const aggregates = createAggregates(store);
  const records = createRecords(store, {
    loaded: (filter, searchSignal) => {
      signal = searchSignal;
      if (!filter) aggregates.clear();
      // The rows first: what stands beside them would keep the browser, the service and the database from these.
      else afterPaint(() => {
        if (!searchSignal.aborted) aggregates.load(filter, searchSignal);
      });
    },
  });
  const live = createLive(store, records, () => {
    const { filter } = store.get();
    if (filter) aggregates.load(filter, signal);
  });

  const load = (q) => {
    live.forget();
    return records.search(q);
  };

  /** Changes what stands in the URL. `isReplaced`: Back does not return to what was before. */
  const go = (patch, { isReplaced = false } = {}) => {
    const before = store.get();
    store.set({ ...patch, ignored: [] });
    const url = writeUrl(location.href, store.get());
    if (url !== location.href) history[isReplaced ? "replaceState" : "pushState"](null, "", url);
    if (store.get().q !== before.q) load(store.get().q);
  };

  const actions = {
    search: (q) => {
      const text = q.trim();
      const isSame = text === store.get().q;
      go({ q: text, draft: text, view: "records" });
      if (isSame) load(text);
    },
    narrow: (term) => actions.search(addTerm(store.get().q, term)),
    toggle: (term) => actions.search(toggleTerm(store.get().q, term)),
    setDraft: (draft) => store.set({ draft }),
    setTimes: (from, to) => actions.search(setTimes(store.get().q, from, to)),
    setSpan: (span) => {
      const rest = removeNames(store.get().q, ["since", "until"]);
      actions.search(span ? `${rest} since:${span}` : rest);
    },
    clearTimes: () => actions.setSpan(""),
    retry: () => load(store.get().q),
    need: records.need,
    more: records.more,
    select: (id) => store.set({ selected: id }),
    choose: (id) => {
      store.set({ selected: id });
      actions.openRecord(id);
    },
    openRecord: (id, version = null) => {
      if (isUuid(id)) go({ record: id.toLowerCase(), version }, { isReplaced: store.get().record !== null });
    },
    closeRecord: () => go({ record: null, version: null }),
    show: (view) => go({ view }),
    filterChanges: (patch) => go({ changes: { ...store.get().changes, ...patch } }),
    setZone: (zone) => go({ zone }, { isReplaced: true }),
    setHelp: (isHelpOpen) => store.set({ isHelpOpen }),
    toggleFacets: () => store.set(({ isFacetsOpen }) => ({ isFacetsOpen: !isFacetsOpen })),
    nextTheme: () => {
      const theme = THEMES[(THEMES.indexOf(store.get().theme) + 1) % THEMES.length];
      store.set({ theme });
      showTheme(theme);
      try {
        localStorage.setItem(THEME_KEY, theme);
      } catch {
        // Then it holds until the page is closed.
      }
    },
    reloadHistogram: () => aggregates.reloadHistogram(store.get().filter, signal),
    reloadFacet: (field) => aggregates.reloadFacet(field, store.get().filter, signal),
    toggleLive: live.toggle,
    setScrolled: live.setScrolled,
    passLate: live.passLate,
    notify: (text) => {
      clearTimeout(noticeTimer);
      store.set({ notice: text });
      noticeTimer = setTimeout(() => store.set({ notice: null }), NOTICE_MS);
    },
    /** The browser went back or forward. */
    followUrl: () => {
      const before = store.get();
      const found = readUrl(location.href);
      store.set({ ...found, draft: found.q });
      if (found.q !== before.q) load(found.q);
    },
    /** Loads the list that the URL names. Resolves once it is there, or has failed. */
    start: () => {
      showTheme(store.get().theme);
      NARROW.addEventListener("change", ({ matches }) => store.set({ isNarrow: matches }));
      return load(store.get().q);
    },
    /** Loads what the page does not need for its first rows. */
    loadLater: async () => {
      ask.find();
      try {
        store.set({ later: await import("./later.js") });
      } catch {
        store.set({ isLaterMissing: true });
      }
    },
  };
  const ask = createAsk(store, actions.search);
  const views = createViews(store, actions.notify);
  return Object.assign(actions, {
    ask: ask.ask,
    toggleAsk: ask.toggle,
    writeQuestion: ask.write,
    saveView: views.save,
    removeView: views.remove,
  });
};

const showTheme = (theme) => {
  document.documentElement.dataset.theme = theme;
};
