// What was corrected or removed lately, and by whom: the feed of the ledger, newest first.

import { asProblem, get, isAborted } from "./api.js";
import { Attribution, Operation, OPERATIONS } from "./history.js";
import { Component, html } from "./html.js";
import { parse } from "./json.js";
import { ProblemNote } from "./problem.js";
import { Text } from "./text.js";
import { formatFull, formatTime, zoneName } from "./time.js";

const PAGE = 20;
// A page of the feed looks at 2,000 entries; so many pages without a match are read before the reader is asked.
const EMPTY_PAGES = 10;
const format = new Intl.NumberFormat("en").format;

/** Shown in place of the list while `state.view` is `changes`. */
export class Changes extends Component {
  constructor(props) {
    super(props);
    this.state = { operations: ["update", "delete"], by: null, ...NOTHING };
    this.abort = null;
    this.more = () => this.load();
    this.refresh = () => this.restart({});
  }

  componentDidMount() {
    this.load();
  }

  shouldComponentUpdate({ state: { zone, record } }, own) {
    const before = this.props.state;
    return zone !== before.zone || record !== before.record || own !== this.state;
  }

  componentWillUnmount() {
    this.abort?.abort();
  }

  restart(filters) {
    this.setState({ ...filters, ...NOTHING }, () => this.load());
  }

  toggle(operation) {
    const { operations } = this.state;
    const isOn = operations.includes(operation);
    this.restart({ operations: isOn ? operations.filter((each) => each !== operation) : [...operations, operation] });
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
    const { operations, by } = this.state;
    let { after } = this.state;
    const found = [];
    for (let pages = 0; pages < EMPTY_PAGES && found.length < PAGE && after !== END; pages += 1) {
      const page = await get("ledger/changes", changeParams({ operations, by, after }), { signal, parse });
      found.push(...page.items);
      after = page.next_after > 0 ? page.next_after : END;
      this.setState(({ size }) => ({ size: size ?? page.size }));
    }
    this.setState(({ items }) => ({ items: [...(items ?? []), ...found], after }));
  }

  render({ state, actions }, { operations, by, items, problem, isLoading, after, size }) {
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
            : html`<button type="button" class="button toggle" aria-pressed="true" onClick=${() => this.restart({ by: null })}>
                by <${Text} value=${by} /> <span aria-hidden="true">\u00d7</span><span class="visually-hidden">: take this filter away</span>
              </button>`}
          <button type="button" class="link" onClick=${this.refresh}>Refresh</button>
        </div>
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

  renderChange(change, { zone, record: opened }, actions) {
    const { audit_id, record, changed_by } = change;
    return html`<li key=${change.index} class="change" data-open=${audit_id === opened ? "true" : null}>
      <time datetime=${change.changed_at} title=${formatFull(change.changed_at, zone)}>
        ${formatTime(change.changed_at, zone, { milliseconds: false })}
      </time>
      <${Operation} value=${change.operation} />
      <div class="change-what">
        <button type="button" class="change-open" onClick=${() => actions.openRecord(audit_id)}>
          ${record ? html`<${Text} value=${record.action} />` : "The text of this version was redacted"}
        </button>
        ${record
          ? html`<span class="muted"><${Text} value=${record.entity_type} /> <${Text} value=${record.entity_id} /></span>`
          : null}
        <span class="muted">version ${change.version}</span>
      </div>
      <div class="change-who">
        <${Attribution} ...${change} />
        ${changed_by && this.state.by === null
          ? html`<button type="button" class="link" onClick=${() => this.restart({ by: changed_by })}>Only theirs</button>`
          : null}
      </div>
    </li>`;
  }

  renderEnd({ items, isLoading, problem, after, size }) {
    if (isLoading) return html`<p class="muted">Reading the ledger\u2026</p>`;
    if (problem || !items) return null;
    if (after !== END) {
      const looked = `Looked at ${format(size - after)} of ${format(size)} entries.`;
      return items.length ? html`<p class="muted">${looked}</p>` : html`<p>Nothing found yet. ${looked}</p>`;
    }
    if (items.length) return html`<p class="muted">This is the beginning of the ledger.</p>`;
    return html`<div class="empty">
      <p><strong>Nothing was ${this.describeOperations()} ${this.state.by ? "by them" : ""} so far.</strong></p>
      <p class="muted">Changes appear here a few seconds after their commit, when they are sealed.</p>
    </div>`;
  }

  describeOperations() {
    const words = this.state.operations.map((operation) => OPERATIONS[operation].toLowerCase());
    return words.length ? words.join(" or ") : "changed";
  }
}

/** There is nothing older. */
const END = "end";
const NOTHING = { items: null, after: null, size: null, problem: null, isLoading: true };

const changeParams = ({ operations, by, after }) => [
  ["order", "desc"],
  ["limit", String(PAGE)],
  ...operations.map((operation) => ["operation", operation]),
  ...(by === null ? [] : [["changed_by", by]]),
  ...(after === null ? [] : [["after", String(after)]]),
];
