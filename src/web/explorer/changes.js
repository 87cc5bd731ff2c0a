// What was corrected or removed lately, and by whom: the feed of the ledger, newest first.

import { asProblem, get, isAborted } from "./api.js";
import { Attribution, Operation, OPERATIONS } from "./history.js";
import { Component, html } from "./html.js";
import { parse } from "./json.js";
import { ProblemNote } from "./problem.js";
import { Text, formatCount } from "./text.js";
import { formatFull, formatTime, zoneName } from "./time.js";

const PAGE = 20;
// A page of the feed looks at 2,000 entries; so many pages without a match are read before the reader is asked.
const EMPTY_PAGES = 10;

/** Shown in place of the list while `state.view` is `changes`. */
export class Changes extends Component {
  constructor(props) {
    super(props);
    this.state = NOTHING;
    this.abort = null;
    this.more = () => this.load();
    this.restart = () => this.setState(NOTHING, this.more);
  }

  componentDidMount() {
    this.load();
  }

  // The rest of the page changes often.
  shouldComponentUpdate({ state }, own) {
    return own !== this.state || SHOWN.some((name) => state[name] !== this.props.state[name]);
  }

  componentDidUpdate({ state: { changes } }) {
    if (keyOf(changes) !== keyOf(this.props.state.changes)) this.restart();
  }

  componentWillUnmount() {
    this.abort?.abort();
  }

  toggle(operation) {
    const { operations } = this.props.state.changes;
    const all = Object.keys(OPERATIONS);
    const wanted = all.filter((each) => operations.includes(each) !== (each === operation));
    this.props.actions.filterChanges({ operations: wanted.length ? wanted : all });
  }

  async load() {
    this.abort?.abort();
    const abort = new AbortController();
    this.abort = abort;
    this.setState({ isLoading: true, problem: null });
    try {
      await this.loadPage(abort.signal);
    } catch (problem) {
      if (!isAborted(problem) && this.abort === abort) this.setState({ problem });
    }
    if (this.abort === abort) this.setState({ isLoading: false });
  }

  async loadPage(signal) {
    const { changes } = this.props.state;
    let { after } = this.state;
    const found = [];
    for (let pages = 0; pages < EMPTY_PAGES && found.length < PAGE && after !== END; pages += 1) {
      const page = await get("ledger/changes", toParams(changes, after), { signal, parse });
      found.push(...page.items);
      after = page.next_after > 0 ? page.next_after : END;
      this.setState(({ size }) => ({ size: size ?? page.size }));
    }
    this.setState(({ items }) => ({ items: [...(items ?? []), ...found], after }));
  }

  render({ state, actions }, { items, problem, isLoading, after, size }) {
    const { operations, by } = state.changes;
    return html`<section class="changes" aria-busy=${String(isLoading)}>
      <header class="changes-head">
        <h2>Changes</h2>
        <div class="buttons" role="group" aria-label="Which changes">
          ${Object.entries(OPERATIONS).map(
            ([operation, label]) => html`<button
              type="button"
              class="button toggle"
              aria-pressed=${String(operations.includes(operation))}
              onClick=${() => this.toggle(operation)}
            >
              ${label}
            </button>`,
          )}
          ${by === null
            ? null
            : html`<button
                type="button"
                class="button toggle"
                aria-pressed="true"
                onClick=${() => actions.filterChanges({ by: null })}
              >
                by <${Text} value=${by} /> <span aria-hidden="true">\u00d7</span>
                <span class="visually-hidden">: take this filter away</span>
              </button>`}
        </div>
        <button type="button" class="link refresh" onClick=${this.restart}>Refresh</button>
        <p class="muted">In the order of the ledger, newest first. Times are in ${zoneName(state.zone)}.</p>
      </header>
      ${items?.length
        ? html`<ol class="change-list">
            ${items.map((change) => this.renderChange(change, state, actions))}
          </ol>`
        : null}
      ${problem ? html`<${ProblemNote} problem=${asProblem(problem)} onRetry=${this.more} />` : null}
      <div role="status">${this.renderEnd({ items, isLoading, problem, after, size })}</div>
      ${items && after !== END && !isLoading && !problem
        ? html`<button type="button" class="link more" onClick=${this.more}>Older changes</button>`
        : null}
    </section>`;
  }

  renderChange(change, { zone, record: opened, version, changes }, actions) {
    const { audit_id, record, changed_by } = change;
    const isOpen = audit_id === opened && (version === null || version === change.version);
    return html`<li key=${change.index} class="change" data-open=${isOpen ? "true" : null}>
      <time datetime=${change.changed_at} title=${formatFull(change.changed_at, zone)}>
        ${formatTime(change.changed_at, zone, { milliseconds: false })}
      </time>
      <div><${Operation} value=${change.operation} /> <span class="muted">version ${change.version}</span></div>
      <div class="change-what">
        <button type="button" class="change-open" onClick=${() => actions.openRecord(audit_id, change.version)}>
          ${record ? html`<${Text} value=${record.action} />` : "The text of this version was redacted"}
        </button>
        ${record
          ? html`<span class="muted">
              <${Text} value=${record.entity_type} /> <${Text} value=${record.entity_id} />
            </span>`
          : null}
      </div>
      <div class="change-who">
        <${Attribution}
          ...${change}
          onName=${changes.by === null ? () => actions.filterChanges({ by: changed_by }) : null}
        />
      </div>
    </li>`;
  }

  renderEnd({ items, isLoading, problem, after, size }) {
    if (isLoading) return html`<p class="muted">Reading the ledger\u2026</p>`;
    if (problem || !items) return null;
    if (after !== END) {
      const looked = `Looked at ${formatCount(size - after)} of ${formatCount(size)} entries.`;
      return items.length ? html`<p class="muted">${looked}</p>` : html`<p>Nothing found yet. ${looked}</p>`;
    }
    if (items.length) return html`<p class="muted">The ledger begins here.</p>`;
    return html`<div class="empty">
      <h2>${describeNothing(this.props.state.changes)}</h2>
      <p>A change appears here a few seconds after it was made, when it is sealed.</p>
    </div>`;
  }
}

const describeNothing = ({ operations, by }) => {
  const words = operations.map((operation) => OPERATIONS[operation].toLowerCase()).join(" or ");
  return by === null ? `Nothing was ${words} so far` : `Nothing was ${words} by this name so far`;
};

/** There is nothing older. */
const END = "end";
/** What it shows of the state of the page. */
const SHOWN = ["zone", "record", "version", "changes"];
const NOTHING = { items: null, after: null, size: null, problem: null, isLoading: true };

const toParams = ({ operations, by }, after) => [
  ["order", "desc"],
  ["limit", String(PAGE)],
  ...operations.map((operation) => ["operation", operation]),
  ...(by === null ? [] : [["changed_by", by]]),
  ...(after === null ? [] : [["after", String(after)]]),
];

const keyOf = (changes) => JSON.stringify(changes);
