// The keys of the page, and the dialog that lists them.

import { Component, createRef, html } from "./html.js";

const KEYS = [
  ["/", "to the search box"],
  ["j or \u2193", "next record"],
  ["k or \u2191", "previous record"],
  ["Enter", "open the record"],
  ["Esc", "close what is open"],
  ["l", "live on or off"],
  ["?", "this list"],
];
const SEARCH = [
  ["action:invoice.*", "a value; a prefix for action and entity_type"],
  ["status:failure status:pending", "one of several values"],
  ["actor_id:\"u 17\"", "a value with spaces"],
  ["since:24h until:2026-01-31", "a span, a date or a time; UTC unless it has an offset"],
  ["details.tenant:t-1", "a member of the details; details.count:5 is a number, \"5\" a text"],
];

const isWriting = ({ target }) => target.closest?.("input, textarea, select, [contenteditable], dialog[open]");

/** Listens to the keys of the page. `inner` are the components that they move: `list` and `search`. */
export const listenToKeys = (store, actions, inner) => {
  const move = (step) => {
    const { list, selected, record } = store.get();
    if (!list.rows.length) return;
    const current = list.rows.findIndex(({ id }) => id === (selected ?? record));
    const index = current < 0 ? 0 : Math.max(0, Math.min(list.rows.length - 1, current + step));
    actions.select(list.rows[index].id);
    inner.list?.reveal(index);
    inner.list?.focus();
  };
  const keys = {
    "/": () => {
      if (store.get().view !== "records") actions.show("records");
      // After the store has told of it: then the search box is there.
      queueMicrotask(() => inner.search?.focus());
    },
    j: () => move(1),
    k: () => move(-1),
    l: actions.toggleLive,
    "?": () => actions.setHelp(true),
  };
  const gridKeys = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    PageDown: () => move(inner.list.visibleRows() - 2),
    PageUp: () => move(2 - inner.list.visibleRows()),
    Home: () => move(-Infinity),
    End: () => move(Infinity),
  };

  const close = () => {
    if (!store.get().record) return;
    actions.closeRecord();
    inner.list?.focus();
  };

  // Where no list is seen, there is nothing to move in.
  const isUseful = (key) => {
    const { view, record, isNarrow } = store.get();
    if (key === "?") return true;
    if (record && isNarrow) return false;
    return view === "records" || key === "/";
  };

  const onKeyDown = (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (!store.get().isHelpOpen) close();
      return;
    }
    if (isWriting(event) || !isUseful(event.key)) return;
    const isGrid = event.target.closest?.(".grid") === event.target;
    const isElsewhere = event.target === document.body;
    if (event.key === "Enter" && (isGrid || isElsewhere) && store.get().selected) {
      actions.openRecord(store.get().selected);
      event.preventDefault();
      return;
    }
    const run = keys[event.key] ?? (isGrid || isElsewhere ? gridKeys[event.key] : undefined);
    if (!run) return;
    event.preventDefault();
    run();
  };
  addEventListener("keydown", onKeyDown);
};

/** The dialog of `?`. */
export class Help extends Component {
  constructor() {
    super();
    this.dialog = createRef();
  }

  componentDidMount() {
    this.dialog.current.showModal();
  }

  render({ actions }) {
    return html`
      <dialog class="help" ref=${this.dialog} aria-labelledby="help-title" onClose=${() => actions.setHelp(false)}>
        <div class="help-head">
          <h2 id="help-title">Keys and search</h2>
          <button type="button" class="icon-button" aria-label="Close" onClick=${() => this.dialog.current.close()}>
            <svg viewBox="0 0 12 12" aria-hidden="true"><path d="m3 3 6 6m0-6-6 6" /></svg>
          </button>
        </div>
        <dl class="keys">
          ${KEYS.map(([key, what]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${what}</dd></div>`)}
        </dl>
        <dl class="keys">
          ${SEARCH.map(([term, what]) => html`<div key=${term}><dt><code>${term}</code></dt><dd>${what}</dd></div>`)}
        </dl>
        <p class="muted">
          In the histogram, drag over bars to narrow the time, or use the arrow keys, Shift to select, and Enter.
        </p>
      </dialog>
    `;
  }
}
