// A JSON value as rows that open on demand. Nothing of what is closed is in the page.

import { Component, html } from "./html.js";
import { Text, formatCount } from "./text.js";
import { childrenOf, clip, countOf, kindOf, PAGE_CHARACTERS, PAGE_ROWS, ROW_CHARACTERS, preview, shorten } from "./tree.js";


/** A text of any length: its beginning, and more of it for whoever asks. */
export class LongText extends Component {
  constructor(props) {
    super(props);
    this.state = { characters: ROW_CHARACTERS };
    this.showMore = () => this.setState(({ characters }) => ({ characters: characters + PAGE_CHARACTERS }));
  }

  render({ value }, { characters }) {
    const shown = clip(value, characters);
    const rest = value.length - shown.length;
    if (!rest) return html`<${Text} value=${value} />`;
    const next = Math.min(rest, PAGE_CHARACTERS);
    return html`<${Text} value=${`${shown}\u2026`} />
      <button type="button" class="link more" onClick=${this.showMore}>
        Show ${next === rest ? `the other ${formatCount(rest)}` : `${formatCount(next)} more of ${formatCount(rest)}`} characters
      </button>`;
  }
}

/** A text, number, boolean or null as JSON writes it. */
export const Scalar = ({ value }) => {
  const kind = kindOf(value);
  return html`<span class="json" data-kind=${kind}
    >${kind === "text" ? html`<i>"</i><${LongText} value=${value} /><i>"</i>` : String(value)}</span
  >`;
};

const describe = (value) => {
  const count = countOf(value);
  if (kindOf(value) === "array") return count === 1 ? "1 item" : `${formatCount(count)} items`;
  return count === 1 ? "1 name" : `${formatCount(count)} names`;
};

/**
 * The rows below `value`. `path` is the JSON Pointer of the value. `actionOf`, if given, makes the element that stands
 * behind the row of a scalar, of its value and its names or indexes from the root.
 */
export class Tree extends Component {
  constructor(props) {
    super(props);
    // How many rows of each open node are shown, by its path.
    this.state = { rows: new Map([[props.path ?? "", PAGE_ROWS]]) };
  }

  setRows(path, count) {
    this.setState(({ rows }) => {
      const changed = new Map(rows);
      if (count) changed.set(path, count);
      else changed.delete(path);
      return { rows: changed };
    });
  }

  render({ value, path = "" }) {
    if (!countOf(value)) return html`<p class="muted">${preview(value)}</p>`;
    return html`<div class="tree">${this.renderRows(value, path, [])}</div>`;
  }

  renderRows(value, path, steps) {
    const count = this.state.rows.get(path);
    const rest = countOf(value) - count;
    return html`<ul>
      ${childrenOf(value, path, count).map((child) => this.renderRow(child, [...steps, child.name]))}
      ${rest > 0
        ? html`<li>
            <button type="button" class="link more" onClick=${() => this.setRows(path, count + PAGE_ROWS)}>
              Show ${formatCount(Math.min(rest, PAGE_ROWS))} more of ${formatCount(rest)}
            </button>
          </li>`
        : null}
    </ul>`;
  }

  renderRow({ name, path, value }, steps) {
    const named = html`<span class="tree-name"><${Text} value=${shorten(name)} /></span>`;
    if (!countOf(value)) {
      const isEmpty = kindOf(value) === "object" || kindOf(value) === "array";
      return html`<li key=${path} class="tree-leaf">
        ${named} ${isEmpty ? html`<span class="muted">${preview(value)}</span>` : html`<${Scalar} value=${value} />`}
        ${isEmpty ? null : this.props.actionOf?.(value, steps)}
      </li>`;
    }
    const isOpen = this.state.rows.has(path);
    return html`<li key=${path}>
      <button
        type="button"
        class="tree-toggle"
        aria-expanded=${String(isOpen)}
        onClick=${() => this.setRows(path, isOpen ? 0 : PAGE_ROWS)}
      >
        ${named} <span class="muted">${describe(value)}</span>
        ${isOpen ? null : html`<span class="tree-preview"><${Text} value=${preview(value)} /></span>`}
      </button>
      ${isOpen ? this.renderRows(value, path, steps) : null}
    </li>`;
  }
}

/** Any value: a scalar, or what opens to a tree. */
export class Value extends Component {
  constructor(props) {
    super(props);
    this.state = { isOpen: false };
    this.toggle = () => this.setState(({ isOpen }) => ({ isOpen: !isOpen }));
  }

  render({ value, path }, { isOpen }) {
    const kind = kindOf(value);
    if (kind !== "object" && kind !== "array") return html`<${Scalar} value=${value} />`;
    if (!countOf(value)) return html`<span class="json">${preview(value)}</span>`;
    return html`<button type="button" class="tree-toggle" aria-expanded=${String(isOpen)} onClick=${this.toggle}>
        <span class="muted">${describe(value)}</span>
        ${isOpen ? null : html`<span class="tree-preview"><${Text} value=${preview(value)} /></span>`}
      </button>
      ${isOpen ? html`<${Tree} value=${value} path=${path} />` : null}`;
  }
}
