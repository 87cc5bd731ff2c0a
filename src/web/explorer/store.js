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
const ZONES = ["utc", "local"];
const OPERATIONS = ["create", "update", "delete"];
// What the view of changes shows unless the URL says otherwise: corrections and removals.
const LATE_OPERATIONS = ["update", "delete"];
const VERSION = /^[1-9][0-9]{0,9}$/;
// What the page understands of its URL, as it tells those who wrote another by hand.
const FORMS = {
  record: ["the id of a record, e.g. 01a222a3-3c95-7357-8f00-fce2a6f4fef0", (value) => isUuid(value)],
  version: ["a whole number from 1", (value) => VERSION.test(value)],
  zone: ["utc or local", (value) => ZONES.includes(value)],
  view: [VIEWS.join(" or "), (value) => VIEWS.includes(value)],
  operation: [OPERATIONS.join(", "), (value) => OPERATIONS.includes(value)],
};
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export const isUuid = (text) => UUID.test(text);

/**
 * What the URL says: `q` the search, `record` the id of the open record or null, `version` the one that it shows
 * (null: the newest), `zone` utc or local, `view`; and what the view of changes shows: `changes` has its operations, and
 * who made the changes (`by`) or null. `ignored` are the parts that cannot be read: each its name, its value, and what
 * could stand there.
 */
export const readUrl = (url) => {
  const params = new URL(url).searchParams;
  const record = params.get("record");
  const view = params.get("view");
  const version = params.get("version") ?? "";
  const operations = OPERATIONS.filter((each) => params.getAll("operation").includes(each));
  return {
    q: params.get("q") ?? "",
    record: record && isUuid(record) ? record.toLowerCase() : null,
    version: VERSION.test(version) ? Number(version) : null,
    zone: params.get("zone") === "local" ? "local" : "utc",
    view: VIEWS.includes(view) ? view : VIEWS[0],
    changes: { operations: operations.length ? operations : LATE_OPERATIONS, by: params.get("changed_by") || null },
    ignored: [...params]
      .filter(([name, value]) => value && Object.hasOwn(FORMS, name) && !FORMS[name][1](value))
      .map(([name, value]) => ({ name, value, form: FORMS[name][0] })),
  };
};

/** The URL of a state, on the same page. */
export const writeUrl = (url, { q, record, version, zone, view, changes }) => {
  const written = new URL(url);
  written.search = "";
  written.hash = "";
  if (q) written.searchParams.set("q", q);
  if (record) written.searchParams.set("record", record);
  if (record && version) written.searchParams.set("version", String(version));
  written.searchParams.set("zone", zone);
  if (view !== VIEWS[0]) {
    written.searchParams.set("view", view);
    if (String(changes.operations) !== String(LATE_OPERATIONS)) {
      for (const operation of changes.operations) written.searchParams.append("operation", operation);
    }
    if (changes.by) written.searchParams.set("changed_by", changes.by);
  }
  return written.href;
};
