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
import { LongText, Tree } from "./tree_view.js";

const NOT_FOUND = 404;
// Where the panel covers the list: record.css says the same.
const COVERS_THE_LIST = "(max-width: 900px)";
// What had the focus before a record was opened.
let opener = null;

/** Shows the record whose id is `state.record`, also after its removal. A new one is made for each record. */
export class Record extends Component {
  constructor(props) {
    super(props);
    this.id = props.state.record;
    this.state = { revisions: null, next: null, problem: null, shown: null, from: null, to: null };
    this.abort = new AbortController();
    this.heading = createRef();
    this.search = this.search.bind(this);
    this.show = (shown) => this.setState({ shown });
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
    return props.state.zone !== this.props.state.zone || state !== this.state;
  }

  componentWillUnmount() {
    this.abort.abort();
    if (opener?.isConnected) opener.focus({ preventScroll: true });
  }

  async load(cursor = null) {
    const { signal } = this.abort;
    try {
      const params = cursor ? { cursor } : {};
      const page = await get(`audits/${this.id}/history`, params, { signal, parse });
      this.add(page);
    } catch (problem) {
      if (!isAborted(problem) && !signal.aborted) this.setState({ problem });
    }
  }

  add({ items, next_cursor }) {
    this.setState(({ revisions, shown, from, to }) => {
      const all = [...(revisions ?? []), ...items];
      const newest = all[0].version;
      return {
        revisions: all,
        next: next_cursor,
        problem: null,
        shown: shown ?? newest,
        from: from ?? Math.max(newest - 1, all.at(-1).version),
        to: to ?? newest,
      };
    });
  }

  search(q) {
    const { actions } = this.props;
    if (matchMedia(COVERS_THE_LIST).matches) actions.closeRecord();
    actions.search(q);
  }

  render({ state, actions }, { revisions, problem, shown }) {
    const revision = revisions?.find(({ version }) => version === shown);
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
      ${!revisions && !problem ? html`<p class="muted" role="status">Reading the record\u2026</p>` : null}
      ${revision ? this.renderRevision(revision, revisions, state.zone) : null}
    </div>`;
  }

  renderRevision(revision, revisions, zone) {
    const { actions } = this.props;
    const { record } = revision;
    const actionOf = (value, steps) => this.renderFilter(record, value, steps);
    return html`<${Fragment}>
      ${this.renderState(revision, revisions[0], zone)}
      ${renderFields(record, zone)}
      <div class="buttons" role="group" aria-label="Related records">
        ${relatedSearches(record).map(({ label, q }) => html`<button type="button" class="button" onClick=${() => this.search(q)}>${label}</button>`)}
      </div>
      <div class="buttons copies" role="group" aria-label="Copy">
        ${this.renderCopies(revision, revisions[0]).map(
          ([label, text]) => html`<button type="button" class="link" onClick=${() => this.copy(text())}>${label}</button>`,
        )}
      </div>
      <section>
        <h3>Details</h3>
        <${Tree} key=${revision.version} value=${record.details} actionOf=${actionOf} />
      </section>
      ${this.renderHistory(revisions, zone)}
      <section>
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
          <strong>Version ${revision.version}</strong>, not the newest. <${Operation} value=${revision.operation} /> ${formatFull(revision.changed_at, zone)}
          ${" "}<${Attribution} ...${revision} />
        </p>
        <button type="button" class="link" onClick=${() => this.show(newest.version)}>Show version ${newest.version}</button>
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

  renderHistory(revisions, zone) {
    const { next, shown, from, to } = this.state;
    const loadOlder = () => this.load(next);
    return html`<section>
      <h3>History</h3>
      <${Versions} revisions=${revisions} shown=${shown} zone=${zone} show=${this.show} compare=${this.compare} />
      ${next ? html`<button type="button" class="link more" onClick=${loadOlder}>Older versions</button>` : null}
      ${revisions.length > 1
        ? html`<h4>Compare two versions</h4>
            <${Comparison}
              key=${`${from} ${to}`} revisions=${revisions} from=${from} to=${to} zone=${zone} compare=${this.compare}
            />`
        : html`<p class="muted">It was never changed since it was recorded.</p>`}
    </section>`;
  }

  /** Narrows the list to records whose details have this value too. Terms reach into objects, not into arrays. */
  renderFilter(record, value, steps) {
    if (typeof value === "string" && value.length > 200) return null;
    let parent = record.details;
    for (const step of steps) {
      if (Array.isArray(parent)) return null;
      parent = parent[step];
    }
    return html`<button
      type="button"
      class="link filter"
      aria-label="Only records with this value"
      title="Only records with this value"
      onClick=${() => this.search(formatDetails(steps, value))}
    >
      Filter
    </button>`;
  }

  renderCopies(revision, newest) {
    const { zone } = this.props.state;
    const isNewest = revision === newest && newest.operation !== "delete";
    const url = urlOf(isNewest ? `audits/${this.id}` : `audits/${this.id}/history`);
    return [
      ["Copy JSON", () => stringify(isNewest ? revision.record : revision)],
      ["Copy curl", () => `curl -s '${url}'`],
      ["Copy link", () => writeUrl(location.href, { q: "", record: this.id, zone, view: "records" })],
    ];
  }

  async copy(text) {
    this.props.actions.notify((await copy(text)) ? "Copied" : "The browser did not copy it");
  }
}

const renderProblem = (problem, retry) =>
  problem.status === NOT_FOUND
    ? html`<p>There is no such record, and there never was one that is known here.</p>`
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
