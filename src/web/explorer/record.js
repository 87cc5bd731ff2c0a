// The open record: what it says, its versions, and the proof of the version that is shown.

import { asProblem, get, isAborted, urlOf } from "./api.js";
import { Attribution, Comparison, Operation, Versions } from "./history.js";
import { Component, createRef, Fragment, html } from "./html.js";
import { parse, stringify } from "./json.js";
import { ProblemNote } from "./problem.js";
import { Proof } from "./proof_view.js";
import { formatDetails } from "./query.js";
import { relatedSearches } from "./related.js";
import { copy } from "./sharing.js";
import { writeUrl } from "./store.js";
import { Text } from "./text.js";
import { formatFull } from "./time.js";
import { ROW_CHARACTERS } from "./tree.js";
import { LongText, Tree } from "./tree_view.js";

const NOT_FOUND = 404;
// Versions that are loaded at once, and while one is looked for.
const PAGE = 20;
const LARGE_PAGE = 50;
// Where the panel covers the list: style.css says the same.
const COVERS_THE_LIST = "(max-width: 900px)";
const NOTHING = { revisions: null, next: null, problem: null, isLoading: false, from: null, to: null };
// What had the focus before a record was opened.
let opener = null;

/** Shows the record whose id is `state.record`, also after its removal. A new one is made for each record. */
export class Record extends Component {
  constructor(props) {
    super(props);
    this.id = props.state.record;
    this.state = NOTHING;
    this.abort = new AbortController();
    this.heading = createRef();
    this.search = this.search.bind(this);
    this.show = (version) => props.actions.openRecord(this.id, version);
    this.compare = (from, to) => this.setState({ from, to });
    const focused = document.activeElement;
    if (!focused?.closest(".record")) opener = focused;
  }

  componentDidMount() {
    this.heading.current.focus({ preventScroll: true });
    this.load();
  }

  // The rest of the page changes often, and the panel can be large.
  shouldComponentUpdate(props, state) {
    const { zone, version } = this.props.state;
    const isShownOtherwise = props.state.zone !== zone || props.state.version !== version || state !== this.state;
    return isShownOtherwise || this.isBehind(props.state.list) !== this.isBehind(this.props.state.list);
  }

  componentDidUpdate({ state: { version } }) {
    if (version === this.props.state.version) return;
    const newest = this.state.revisions?.[0].version;
    // The view of changes can know of a newer version than was loaded.
    if (newest < this.props.state.version) this.startAnew();
    else this.compareShown();
  }

  componentWillUnmount() {
    this.abort.abort();
    if (opener?.isConnected) opener.focus({ preventScroll: true });
  }

  /** Whether the list knows of a newer version, or of a removal. */
  isBehind({ rows, removed }) {
    const newest = this.state.revisions?.[0];
    if (!newest || newest.operation === "delete") return false;
    return removed.has(this.id) || rows.some(({ id, version }) => id === this.id && version > newest.version);
  }

  reload() {
    this.heading.current.focus({ preventScroll: true });
    this.startAnew();
    this.show(null);
  }

  startAnew() {
    this.abort.abort();
    this.abort = new AbortController();
    this.setState(NOTHING, () => this.load());
  }

  async load(limit = PAGE) {
    if (this.state.isLoading) return;
    const { signal } = this.abort;
    this.setState({ problem: null, isLoading: true });
    try {
      const params = { limit: String(limit), ...(this.state.next ? { cursor: this.state.next } : {}) };
      const { items, next_cursor } = await get(`audits/${this.id}/history`, params, { signal, parse });
      if (signal.aborted) return;
      const revisions = [...(this.state.revisions ?? []), ...items];
      this.setState({ revisions, next: next_cursor, isLoading: false }, () =>
        this.state.from === null ? this.compareShown() : this.find(),
      );
    } catch (problem) {
      if (!isAborted(problem) && !signal.aborted) this.setState({ problem, isLoading: false });
    }
  }

  /** Compares the version that is shown with the one before. */
  compareShown() {
    const shown = this.props.state.version ?? this.state.revisions?.[0].version;
    if (shown) this.setState({ from: Math.max(1, shown - 1), to: shown }, () => this.find());
  }

  /** Loads older versions until those that are compared are there. */
  find() {
    const { revisions, next, from, to } = this.state;
    if (next && Math.min(from, to) < revisions.at(-1).version) this.load(LARGE_PAGE);
  }

  search(q) {
    const { actions } = this.props;
    if (matchMedia(COVERS_THE_LIST).matches) actions.closeRecord();
    actions.search(q);
  }

  render({ state, actions }, { revisions, next, problem }) {
    const revision = state.version ? revisions?.find(({ version }) => version === state.version) : revisions?.[0];
    return html`<div class="record">
      <header class="record-head">
        <h2 ref=${this.heading} tabindex="-1">
          ${revision ? html`<${Text} value=${revision.record.action} />` : "Record"}
        </h2>
        <button type="button" class="icon-button close" aria-label="Close the record" onClick=${actions.closeRecord}>
          <svg viewBox="0 0 12 12" aria-hidden="true"><path d="m3 3 6 6m0-6-6 6" /></svg>
        </button>
      </header>
      ${problem ? renderProblem(problem, () => this.load()) : null}
      ${!revision && !problem ? renderMissing(revisions, next, state.version, this.show) : null}
      ${revision ? this.renderRevision(revision, revisions, state.zone) : null}
    </div>`;
  }

  renderRevision(revision, revisions, zone) {
    const { actions } = this.props;
    const { record } = revision;
    const actionOf = (value, steps) => this.renderFilter(record, value, steps);
    return html`<${Fragment}>
      ${this.isBehind(this.props.state.list)
        ? html`<div class="banner" role="status">
            <p>This record has changed since it was opened.</p>
            <button type="button" class="link" onClick=${() => this.reload()}>Show it as it is now</button>
          </div>`
        : null}
      ${this.renderState(revision, revisions[0], zone)}
      ${renderFields(record, zone)}
      <div class="buttons" role="group" aria-label="Related records">
        ${relatedSearches(record).map(
          ({ label, q }) =>
            html`<button type="button" class="button" onClick=${() => this.search(q)}>${label}</button>`,
        )}
      </div>
      <div class="buttons copies" role="group" aria-label="Copy">
        ${this.renderCopies(revision, revisions[0]).map(
          ([label, text]) =>
            html`<button type="button" class="link" onClick=${() => this.copy(text())}>${label}</button>`,
        )}
      </div>
      <section aria-label="Details">
        <h3>Details</h3>
        <${Tree} key=${revision.version} value=${record.details} actionOf=${actionOf} />
      </section>
      ${this.renderHistory(revisions, revision, zone)}
      <section aria-label="Proof">
        <h3>Proof <span class="muted">of version ${revision.version}</span></h3>
        <${Proof} key=${revision.version} auditId=${this.id} revision=${revision} zone=${zone} actions=${actions} />
      </section>
    <//>`;
  }

  renderState(revision, newest, zone) {
    const isRemoved = newest.operation === "delete";
    if (revision !== newest) {
      return html`<div class="banner">
        <p>
          <strong>Version ${revision.version}</strong>, not the newest.
          ${" "}<${Operation} value=${revision.operation} /> ${formatFull(revision.changed_at, zone)}
          ${" "}<${Attribution} ...${revision} />
        </p>
        <button type="button" class="link" onClick=${() => this.show(null)}>Show version ${newest.version}</button>
      </div>`;
    }
    if (!isRemoved) return null;
    return html`<div class="banner" data-operation="delete">
      <p>
        <strong>This record was removed</strong> ${formatFull(newest.changed_at, zone)} <${Attribution} ...${newest} />
      </p>
      <p class="muted">Here is its last state.</p>
    </div>`;
  }

  renderHistory(revisions, { version }, zone) {
    const { next, from, to } = this.state;
    const loadOlder = () => this.load();
    return html`<section aria-label="History">
      <h3>History</h3>
      <${Versions} revisions=${revisions} shown=${version} zone=${zone} show=${this.show} />
      ${next ? html`<button type="button" class="link more" onClick=${loadOlder}>Older versions</button>` : null}
      ${revisions.length > 1
        ? html`<${Comparison} revisions=${revisions} from=${from} to=${to} zone=${zone} compare=${this.compare} />`
        : html`<p class="muted">This record has not changed since it was recorded.</p>`}
    </section>`;
  }

  /** Narrows the list to records whose details have this value too. Terms reach into objects, not into arrays. */
  renderFilter(record, value, steps) {
    if (typeof value === "string" && value.length > ROW_CHARACTERS) return null;
    let parent = record.details;
    for (const step of steps) {
      if (Array.isArray(parent)) return null;
      parent = parent[step];
    }
    return html`<button
      type="button"
      class="link filter"
      title="Only records with this value"
      onClick=${() => this.search(formatDetails(steps, value))}
    >
      Filter<span class="visually-hidden">: only records with this value</span>
    </button>`;
  }

  renderCopies(revision, newest) {
    const isNewest = revision === newest && newest.operation !== "delete";
    const url = urlOf(isNewest ? `audits/${this.id}` : `audits/${this.id}/history`);
    return [
      ["Copy JSON", () => stringify(isNewest ? revision.record : revision)],
      ["Copy curl", () => `curl -s '${url}'`],
      ["Copy link", () => writeUrl(location.href, { ...this.props.state, q: "", view: "records" })],
    ];
  }

  async copy(text) {
    this.props.actions.notify((await copy(text)) ? "Copied" : "The browser did not copy it");
  }
}

const renderMissing = (revisions, next, version, show) => {
  if (!revisions || (next && version < revisions[0].version)) return html`<p class="muted" role="status">Reading the record\u2026</p>`;
  return html`<div class="banner">
    <p>This record has no version ${version}.</p>
    <button type="button" class="link" onClick=${() => show(null)}>Show the newest version</button>
  </div>`;
};

const renderProblem = (problem, retry) =>
  problem.status === NOT_FOUND
    ? html`<p>No record has this id, and none had it before.</p>`
    : html`<${ProblemNote} problem=${asProblem(problem)} onRetry=${retry} />`;

const FIELDS = [
  ["Actor", "actor_id"],
  ["Kind of actor", "actor_type"],
  ["Entity", "entity_id"],
  ["Kind of entity", "entity_type"],
  ["Correlation", "correlation_id"],
  ["Source", "source"],
  ["Event", "event_id"],
];

const renderFields = (record, zone) => html`<dl class="facts">
  <dt>Status</dt>
  <dd><span class="status" data-status=${record.status}>${record.status}</span></dd>
  <dt>Occurred</dt>
  <dd><time datetime=${record.occurred_at}>${formatFull(record.occurred_at, zone)}</time></dd>
  ${FIELDS.map(([label, name]) =>
    record[name] === null || record[name] === undefined
      ? null
      : html`<${Fragment}><dt>${label}</dt><dd><${LongText} value=${record[name]} /></dd><//>`,
  )}
  <dt>Recorded</dt>
  <dd><time datetime=${record.recorded_at}>${formatFull(record.recorded_at, zone)}</time></dd>
  <dt>Id</dt>
  <dd><code>${record.id}</code></dd>
</dl>`;
