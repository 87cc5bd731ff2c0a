// The versions of a record: who changed it, when and why, and what differs between any two.

import { diff } from "./diff.js";
import { Component, createRef, Fragment, html } from "./html.js";
import { Text, formatCount } from "./text.js";
import { formatFull, formatTime } from "./time.js";
import { LongText, Value } from "./tree_view.js";

// Differences that are shown at first, and with each "more".
const DIFFERENCES = 25;
/** What people call an operation. */
export const OPERATIONS = { create: "Recorded", update: "Corrected", delete: "Removed" };
// Every change has these, and the head of the version says them.
const OF_EVERY_CHANGE = new Set(["/version", "/updated_at"]);

/** The operation of a change as a badge. */
export const Operation = ({ value }) =>
  html`<span class="operation" data-operation=${value}>${OPERATIONS[value] ?? value}</span>`;

/** Who changed it, and why. Of what was recorded nobody expects a reason. With `onName` the name is a button. */
export const Attribution = ({ operation, changed_by, reason, onName }) => {
  const missing = (what) => (operation === "create" ? null : html`<span class="muted">no ${what} given</span>`);
  return html`<span class="attribution">
    ${changed_by ? html`<span>by ${renderName(changed_by, onName)}</span>` : missing("name")}
    ${reason ? html`<q><${LongText} value=${reason} /></q>` : missing("reason")}
  </span>`;
};

const renderName = (name, onName) => {
  const text = html`<strong><${Text} value=${name} /></strong>`;
  if (!onName) return text;
  return html`<button type="button" class="link" title="Only changes by this name" onClick=${onName}>${text}</button>`;
};

/** The list of versions, newest first. `shown` is the number of the version that the panel shows. */
export class Versions extends Component {
  constructor(props) {
    super(props);
    this.list = createRef();
  }

  componentDidMount() {
    this.reveal();
  }

  componentDidUpdate({ shown }) {
    if (shown !== this.props.shown) this.reveal();
  }

  // Not scrollIntoView, which would move the panel too.
  reveal() {
    const list = this.list.current;
    const item = list.querySelector("[data-shown=true]");
    if (!item) return;
    const [frame, row] = [list.getBoundingClientRect(), item.getBoundingClientRect()];
    if (row.top < frame.top || row.bottom > frame.bottom) list.scrollTop += row.top - frame.top - row.height;
  }

  render({ revisions, shown, zone, show }) {
    return html`<ol class="versions" ref=${this.list}>
      ${revisions.map(
        (revision) => html`<li key=${revision.version} data-shown=${String(revision.version === shown)}>
          <div class="version-head">
            <button
              type="button"
              class="version"
              aria-current=${revision.version === shown ? "true" : null}
              onClick=${() => show(revision.version)}
            >
              Version ${revision.version}
            </button>
            <${Operation} value=${revision.operation} />
            <time datetime=${revision.changed_at} title=${formatFull(revision.changed_at, zone)}>
              ${formatTime(revision.changed_at, zone, { milliseconds: false })}
            </time>
          </div>
          <${Attribution} ...${revision} />
        </li>`,
      )}
    </ol>`;
  }
}

/** What differs between two versions, each of which can be chosen. */
export const Comparison = ({ revisions, from, to, zone, compare }) => {
  const [before, after] = [from, to].map((version) => revisions.find((each) => each.version === version));
  return html`<div class="comparison">
    <h4>${to === from + 1 ? `What version ${to} changed` : `Version ${from} compared with version ${to}`}</h4>
    <div class="compared">
      ${choose("From", revisions, from, zone, (version) => compare(version, to))}
      ${choose("To", revisions, to, zone, (version) => compare(from, version))}
    </div>
    ${before && after
      ? html`<${Differences} key=${`${from} ${to}`} before=${before} after=${after} />`
      : html`<p class="muted" role="status">Version ${before ? to : from} cannot be compared: it is not loaded.</p>`}
  </div>`;
};

class Differences extends Component {
  constructor(props) {
    super(props);
    this.found = diff(props.before.record, props.after.record).filter(({ path }) => !OF_EVERY_CHANGE.has(path));
    this.state = { limit: DIFFERENCES };
    this.showMore = () => this.setState(({ limit }) => ({ limit: limit + DIFFERENCES }));
  }

  render({ before, after }, { limit }) {
    const rest = this.found.length - limit;
    return html`<${Fragment}>
      ${after.operation === "delete" && before.version < after.version
        ? html`<p>Version ${after.version} removed the record; its last state is compared.</p>`
        : null}
      <p class="muted" role="status">${describe(this.found.length, before, after)}</p>
      <ul class="differences">
        ${this.found.slice(0, limit).map((each) => html`<${Difference} key=${each.path} ...${each} />`)}
      </ul>
      ${rest > 0
        ? html`<button type="button" class="link more" onClick=${this.showMore}>
            Show ${Math.min(rest, DIFFERENCES)} more of ${formatCount(rest)} differences
          </button>`
        : null}
    <//>`;
  }
}

const describe = (count, before, after) => {
  const versions = `between version ${before.version} and version ${after.version}`;
  if (before === after) return "Choose two versions that are not the same.";
  if (!count) return `No field differs ${versions}.`;
  return count === 1 ? `1 field differs ${versions}.` : `${formatCount(count)} fields differ ${versions}.`;
};

const nameOf = ({ version, changed_at }, zone) =>
  `${version} \u00b7 ${formatTime(changed_at, zone, { milliseconds: false })}`;

const choose = (label, revisions, version, zone, set) => html`<label>
  ${label}
  <select value=${version} onChange=${(event) => set(Number(event.currentTarget.value))}>
    ${revisions.some((each) => each.version === version)
      ? null
      : html`<option value=${version} selected>${version}</option>`}
    ${revisions.map(
      (each) => html`<option key=${each.version} value=${each.version} selected=${each.version === version}>
        ${nameOf(each, zone)}
      </option>`,
    )}
  </select>
</label>`;

const Difference = ({ path, kind, before, after }) => html`<li class="difference">
  <div class="path"><code><${LongText} value=${path} /></code> <span class="muted">${kind}</span></div>
  ${kind === "added" ? null : renderSide("was", before, path)}
  ${kind === "removed" ? null : renderSide("now", after, path)}
</li>`;

const renderSide = (sign, value, path) => html`<div class=${sign}>
  <span class="sign">${sign}</span>
  <div><${Value} value=${value} path=${path} /></div>
</div>`;
