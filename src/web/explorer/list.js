// The list: only the rows that are seen are elements. Rows have one height, which style.css gives as --row.

import { Component, createRef, html, keep } from "./html.js";
import { ProblemNote } from "./problem.js";
import { formatCount, marked } from "./text.js";
import { formatFull, formatTime, zoneName } from "./time.js";

// With nine elements in a row, so many rows keep the list below 400. One that leaves at one end comes in at the other.
const MAX_ROWS = 42;
const OVERSCAN = 6;
const MAX_BADGES = 3;

const drawRow = ({ row, index, top, isSelected, isOpen, isRemoved, zone, onOpen }) => html`
  <div
    class="row"
    role="row"
    id=${`row-${row.id}`}
    aria-rowindex=${index + 2}
    aria-selected=${isSelected ? "true" : "false"}
    data-open=${isOpen ? "" : null}
    data-removed=${isRemoved ? "" : null}
    style=${{ transform: `translateY(${top}px)` }}
    onClick=${() => onOpen(row.id)}
  >
    <span class="cell cell-time" role="gridcell" title=${formatFull(row.occurred_at, zone)}>
      ${formatTime(row.occurred_at, zone)}
    </span>
    <span class="cell cell-status" role="gridcell" data-status=${row.status}>${isRemoved ? "removed" : row.status}</span>
    <bdi class="cell cell-action" role="gridcell">${marked(row.action, MAX_BADGES)}</bdi>
    <span class="cell cell-entity" role="gridcell">
      <bdi class="kind">${marked(row.entity_type, MAX_BADGES)}</bdi> <bdi>${marked(row.entity_id, MAX_BADGES)}</bdi>
    </span>
    <bdi class="cell cell-actor" role="gridcell" data-actor=${row.actor_type}>${marked(row.actor_id, MAX_BADGES)}</bdi>
    <bdi class="cell cell-details" role="gridcell">${row.preview === "{}" ? "" : marked(row.preview, MAX_BADGES)}</bdi>
  </div>
`;

const Row = keep(drawRow, ({ row, top, isSelected, isOpen, isRemoved, zone }) => [
  row, top, isSelected, isOpen, isRemoved, zone,
]);

/** How many records match, as people read it. */
export const describeTotal = ({ total, relation }) =>
  total === null ? "" : `${formatCount(total)}${relation === "gte" ? "+" : ""}`;

export class List extends Component {
  constructor() {
    super();
    // Until it is measured: no row below the window is seen.
    this.state = { first: 0, height: innerHeight, row: 36 };
    this.top = 0;
    this.scroller = createRef();
    this.grid = createRef();
  }

  componentDidMount() {
    // It measures for the first time before the first paint, when the browser has laid out the page anyway.
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(this.scroller.current);
    this.props.register(this);
  }

  componentWillUnmount() {
    this.observer.disconnect();
    this.props.register(null);
  }

  componentDidUpdate(before) {
    const { list, actions } = this.props;
    if (before.list.searchId !== list.searchId) {
      // Only where it is needed: it makes the browser lay out the new rows at once, 47 ms before the first ones are seen.
      if (this.top > 0) this.scroller.current.scrollTop = 0;
    } else if (before.list.rows !== list.rows) {
      this.keepPlace(before.list.rows, this.state.first);
    }
    actions.need(this.lastIndex());
  }

  // What is above the first row has grown: the rows that one looks at stay where they are.
  keepPlace(before, first) {
    const row = before[first];
    const index = row ? this.props.list.rows.findIndex(({ id }) => id === row.id) : -1;
    if (first > 0 && index > first) this.scroller.current.scrollTop += (index - first) * this.state.row;
  }

  measure() {
    const { clientHeight } = this.scroller.current;
    const row = parseFloat(getComputedStyle(this.grid.current).getPropertyValue("--row")) || 36;
    this.setState({ height: clientHeight, row });
    this.follow();
  }

  follow() {
    const { scrollTop } = this.scroller.current;
    this.top = scrollTop;
    const first = Math.floor(scrollTop / this.state.row);
    if (first !== this.state.first) this.setState({ first });
    this.props.actions.setScrolled(scrollTop > 4);
  }

  visibleRows() {
    return Math.ceil(this.state.height / this.state.row) + 1;
  }

  lastIndex() {
    return this.state.first + this.visibleRows();
  }

  /** Scrolls the row with this index into view. */
  reveal(index) {
    const { row } = this.state;
    const scroller = this.scroller.current;
    const head = this.grid.current.querySelector(".list-head").offsetHeight;
    const [top, bottom] = [index * row, (index + 1) * row + head];
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (bottom > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = bottom - scroller.clientHeight;
  }

  /** What is new is shown as soon as the list is at its top (see live.js). */
  toTop() {
    this.scroller.current.scrollTop = 0;
    this.focus();
  }

  /** Leads to the first of the records that were recorded late. */
  toLate() {
    const [id] = this.props.state.live.late;
    const index = this.props.list.rows.findIndex((row) => row.id === id);
    this.props.actions.passLate();
    this.props.actions.select(id);
    if (index >= 0) this.reveal(index);
    this.focus();
  }

  focus() {
    this.grid.current.focus({ preventScroll: true });
  }

  render({ list, state, actions }, { first, row }) {
    const shown = Math.min(MAX_ROWS, this.visibleRows() + 2 * OVERSCAN);
    const from = Math.max(0, Math.min(first - OVERSCAN, first + this.visibleRows() + OVERSCAN - shown));
    const rows = list.rows.slice(from, from + shown);
    const isSelectedShown = rows.some(({ id }) => id === state.selected);
    const { pending, isMore, late } = state.live;
    return html`
      ${pending
        ? html`<button type="button" class="button pending" onClick=${() => this.toTop()}>${pending}${isMore ? "+" : ""} new</button>`
        : null}
      ${late.length && !pending
        ? html`<button
            type="button"
            class="button pending"
            title="Recorded now, with an earlier time: go to the next of them"
            onClick=${() => this.toLate()}
          >${late.length} new further down</button>`
        : null}
      <div class="scroller" ref=${this.scroller} onScroll=${() => this.follow()} data-stale=${list.isLoading ? "" : null}>
        <div
          class="grid"
          role="grid"
          ref=${this.grid}
          tabindex="0"
          aria-label="Records, newest first"
          aria-rowcount="-1"
          aria-busy=${list.isLoading ? "true" : "false"}
          aria-activedescendant=${isSelectedShown ? `row-${state.selected}` : null}
        >
          <div class="list-head" role="rowgroup">
            <div class="row-head" role="row" aria-rowindex="1">
              <span role="columnheader">
                Time
                <button
                  type="button"
                  class="zone"
                  title="Switch between UTC and the zone of this browser"
                  onClick=${() => actions.setZone(state.zone === "utc" ? "local" : "utc")}
                  >${zoneName(state.zone)}</button
                >
              </span>
              <span role="columnheader">Status</span>
              <span role="columnheader">Action</span>
              <span role="columnheader">Entity</span>
              <span role="columnheader">Actor</span>
              <span role="columnheader" class="head-details">Details</span>
            </div>
          </div>
          <div class="rows" role="rowgroup" style=${{ height: `${list.rows.length * row}px` }}>
            ${rows.map(
              (each, offset) => html`<${Row}
                key=${(from + offset) % shown}
                row=${each}
                index=${from + offset}
                top=${(from + offset) * row}
                isSelected=${each.id === state.selected}
                isOpen=${each.id === state.record}
                isRemoved=${list.removed.has(each.id)}
                zone=${state.zone}
                onOpen=${actions.choose}
              />`,
            )}
          </div>
        </div>
        <${Foot} list=${list} state=${state} actions=${actions} />
      </div>
    `;
  }
}

const Foot = ({ list, state, actions }) => {
  if (list.moreError) {
    return html`<div class="foot"><${ProblemNote} problem=${list.moreError} onRetry=${actions.more} isSmall /></div>`;
  }
  if (!list.rows.length) return html`<${Empty} list=${list} state=${state} actions=${actions} />`;
  if (!list.cursor) return html`<div class="foot muted">No more records.</div>`;
  return html`<div class="foot">
    <button type="button" class="button" onClick=${actions.more} disabled=${list.isLoadingMore || list.error !== null}>
      ${list.isLoadingMore ? "Loading\u2026" : "Load more"}
    </button>
  </div>`;
};

const Empty = ({ list, state, actions }) => {
  if (state.problems.length) {
    return html`<div class="empty"><h2>This search cannot be read</h2><p>The reason stands below the search box.</p></div>`;
  }
  if (list.isLoading) return html`<div class="empty slow"><p>Searching\u2026</p></div>`;
  if (list.error) return html`<div class="empty"><p>The search has failed, so nothing is shown.</p></div>`;
  if (state.q) {
    return html`<div class="empty">
      <h2>No record matches</h2>
      <p>Take out a term, or widen the span of time.</p>
      <div class="empty-actions">
        ${state.terms.some(({ name }) => name === "since" || name === "until")
          ? html`<button type="button" class="button" onClick=${actions.clearTimes}>Search all times</button>`
          : null}
        <button type="button" class="button" onClick=${() => actions.search("")}>Show all records</button>
      </div>
    </div>`;
  }
  return html`<div class="empty">
    <h2>Nothing is recorded yet</h2>
    <p>Send a record to <code>POST /api/v1/audits</code>. \u201cLive\u201d shows it here as soon as it is recorded.</p>
  </div>`;
};
