// The state of the page, and what of it stands in the URL: /explorer?q=...&record=...&zone=utc&view=changes

/** One object of state. `set` merges a patch into it, and tells the subscribers once before the next frame. */
export const createStore = (initial) => {
  let state = initial;
  let isPlanned = false;
  const subscribers = new Set();
  const tell = () => {
    isPlanned = false;
    for (const subscriber of subscribers) subscriber(state);
  };
  return {
    get: () => state,
    set: (patch) => {
      state = { ...state, ...(typeof patch === "function" ? patch(state) : patch) };
      if (isPlanned) return;
      isPlanned = true;
      // Not requestAnimationFrame: a page in the background would never be told.
      queueMicrotask(tell);
    },
    subscribe: (subscriber) => {
      subscribers.add(subscriber);
      return () => subscribers.delete(subscriber);
    },
  };
};

const VIEWS = ["records", "changes"];
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export const isUuid = (text) => UUID.test(text);

/** What the URL says: `q` the search, `record` the id of the open record or null, `zone` utc or local, `view`. */
export const readUrl = (url) => {
  const params = new URL(url).searchParams;
  const record = params.get("record");
  const view = params.get("view");
  return {
    q: params.get("q") ?? "",
    record: record && isUuid(record) ? record.toLowerCase() : null,
    zone: params.get("zone") === "local" ? "local" : "utc",
    view: VIEWS.includes(view) ? view : VIEWS[0],
  };
};

/** The URL of a state, on the same page. */
export const writeUrl = (url, { q, record, zone, view }) => {
  const written = new URL(url);
  written.search = "";
  written.hash = "";
  if (q) written.searchParams.set("q", q);
  if (record) written.searchParams.set("record", record);
  written.searchParams.set("zone", zone);
  if (view !== VIEWS[0]) written.searchParams.set("view", view);
  return written.href;
};
