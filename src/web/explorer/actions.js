// What one can do on the page. Components get these as `actions`; they change the state by nothing else.
//
// search(q)             shows the records that the text of a search box means, and puts it into the URL
// narrow(term)          the same, with one more term, e.g. formatTerm("actor_id", "u-17") of query.js
// toggle(term)          the same with the term, or without it if it was there
// openRecord(id)        opens a record beside the list (it may be one that was removed)
// closeRecord()         closes it
// show(view)            "records": the list; "changes": what was corrected or removed lately
// setZone(zone)         "utc" or "local"
// notify(text)          says something in passing, to screen readers too, e.g. "Copied"

import { addTerm, toggleTerm } from "./query.js";
import { isUuid, readUrl, writeUrl } from "./store.js";

const NOTICE_MS = 4000;

/** Creates the actions over a store. `searched` is called with the text of each new search. */
export const createActions = (store, { searched }) => {
  let noticeTimer = null;

  /** Changes what stands in the URL. `isReplaced`: Back does not return to what was before. */
  const go = (patch, { isReplaced = false } = {}) => {
    const before = store.get();
    store.set(patch);
    const url = writeUrl(location.href, store.get());
    if (url !== location.href) history[isReplaced ? "replaceState" : "pushState"](null, "", url);
    if (store.get().q !== before.q) searched(store.get().q);
  };

  const actions = {
    search: (q) => {
      const text = q.trim();
      if (text === store.get().q) searched(text);
      go({ q: text, draft: text, view: "records" });
    },
    narrow: (term) => actions.search(addTerm(store.get().q, term)),
    toggle: (term) => actions.search(toggleTerm(store.get().q, term)),
    setDraft: (draft) => store.set({ draft }),
    openRecord: (id) => {
      if (isUuid(id)) go({ record: id.toLowerCase() }, { isReplaced: store.get().record !== null });
    },
    closeRecord: () => go({ record: null }),
    show: (view) => go({ view }),
    setZone: (zone) => go({ zone }, { isReplaced: true }),
    notify: (text) => {
      clearTimeout(noticeTimer);
      store.set({ notice: text });
      noticeTimer = setTimeout(() => store.set({ notice: null }), NOTICE_MS);
    },
    /** The browser went back or forward. */
    followUrl: () => {
      const found = readUrl(location.href);
      const before = store.get();
      store.set({ ...found, draft: found.q });
      if (found.q !== before.q) searched(found.q);
    },
  };
  return actions;
};
