// The search box: a combobox that suggests names and values, the terms of the search as chips, and what is wrong with it.

import { get, isAborted } from "./api.js";
import { Component, createRef, html } from "./html.js";
import { FIELDS, formatTerm, readTime, removeTerm, replaceRange, wordAt } from "./query.js";
import { isUuid } from "./store.js";
import { Text } from "./text.js";
import { formatTime } from "./time.js";

const DEBOUNCE_MS = 120;
const SPANS = [["", "Any time"], ["15m", "Last 15 minutes"], ["1h", "Last hour"], ["24h", "Last 24 hours"], ["7d", "Last 7 days"], ["30d", "Last 30 days"]];

export class Search extends Component {
  constructor() {
    super();
    this.state = { options: [], active: -1, isOpen: false };
    this.input = createRef();
    this.timer = null;
    this.asked = null;
  }

  componentDidMount() {
    this.props.register(this);
  }

  shouldComponentUpdate({ state }, own) {
    const before = this.props.state;
    const names = ["draft", "q", "terms", "problems", "zone"];
    return own !== this.state || names.some((name) => state[name] !== before[name]);
  }

  componentWillUnmount() {
    this.props.register(null);
    this.stopAsking();
  }

  focus() {
    this.input.current.focus();
    this.input.current.select();
  }

  stopAsking() {
    clearTimeout(this.timer);
    this.asked?.abort();
  }

  close = () => {
    this.stopAsking();
    this.setState({ isOpen: false, options: [], active: -1 });
  };

  onInput = (event) => {
    this.props.actions.setDraft(event.target.value);
    this.suggest();
  };

  suggest = () => {
    this.stopAsking();
    const { value, selectionStart } = this.input.current;
    const word = wordAt(value, selectionStart);
    if (word.name === null) {
      this.offer(word, Object.keys(FIELDS).filter((name) => name.startsWith(word.prefix.toLowerCase())).map((name) => ({
        text: name === "details" ? "details." : `${name}:`, hint: FIELDS[name].help,
      })));
      return;
    }
    const field = Object.hasOwn(FIELDS, word.name) ? FIELDS[word.name] : null;
    if (field?.values) {
      const values = field.values.filter((each) => each.startsWith(word.prefix));
      this.offer(word, values.map((each) => ({ text: `${formatTerm(word.name, each)} `, label: each })));
    } else if (field?.suggests) {
      this.timer = setTimeout(() => this.ask(word), DEBOUNCE_MS);
    } else {
      this.close();
    }
  };

  async ask(word) {
    this.asked = new AbortController();
    try {
      const { signal } = this.asked;
      const { values } = await get("audits/values", { field: word.name, prefix: word.prefix }, { signal });
      this.offer(word, values.map((each) => ({ text: `${formatTerm(word.name, each)} `, label: each })));
    } catch (error) {
      // Suggestions are a help: without them one goes on writing.
      if (!isAborted(error)) this.close();
    }
  }

  offer(word, options) {
    this.word = word;
    this.setState({ options, isOpen: options.length > 0, active: -1 });
  }

  accept(option) {
    const draft = replaceRange(this.input.current.value, this.word, option.text);
    this.props.actions.setDraft(draft);
    const caret = this.word.start + option.text.length;
    // After the new text is in the box.
    setTimeout(() => {
      this.input.current.focus();
      this.input.current.setSelectionRange(caret, caret);
      if (option.text.endsWith(" ")) this.close();
      else this.suggest();
    });
  }

  onKeyDown = (event) => {
    const { options, active, isOpen } = this.state;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!isOpen) return this.suggest();
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.setState({ active: (active + step + options.length + (active < 0 && step < 0 ? 1 : 0)) % options.length });
    } else if ((event.key === "Enter" || event.key === "Tab") && isOpen && active >= 0) {
      event.preventDefault();
      this.accept(options[active]);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (isOpen) this.close();
      else this.input.current.blur();
    }
  };

  onSubmit = (event) => {
    event.preventDefault();
    this.close();
    const word = this.props.state.draft.trim();
    if (isUuid(word)) {
      this.props.actions.setDraft(this.props.state.q);
      this.props.actions.openRecord(word);
    } else {
      this.props.actions.search(word);
    }
  };

  render({ state, actions }, { options, active, isOpen }) {
    // While one writes, a half-written term is no mistake.
    const problems = state.draft === state.q ? state.problems : [];
    return html`
      <form class="search" role="search" onSubmit=${this.onSubmit}>
        <div class="search-row">
          <div class="search-box">
            <svg class="search-icon" viewBox="0 0 16 16" aria-hidden="true"><circle cx="7" cy="7" r="4.5" /><path d="m10.5 10.5 3.5 3.5" /></svg>
            <input
              ref=${this.input}
              type="text"
              name="q"
              role="combobox"
              aria-label="Search records"
              aria-expanded=${isOpen ? "true" : "false"}
              aria-controls="suggestions"
              aria-autocomplete="list"
              aria-activedescendant=${active >= 0 ? `suggestion-${active}` : null}
              aria-describedby="search-problems"
              aria-invalid=${problems.length ? "true" : null}
              autocomplete="off"
              autocapitalize="off"
              spellcheck=${false}
              placeholder="action:invoice.* actor_id:u-17 status:failure since:24h"
              value=${state.draft}
              onInput=${this.onInput}
              onFocus=${this.suggest}
              onClick=${this.suggest}
              onBlur=${this.close}
              onKeyDown=${this.onKeyDown}
            />
            <kbd aria-hidden="true">/</kbd>
            <ul class="suggestions" id="suggestions" role="listbox" aria-label="Suggestions" hidden=${!isOpen}>
              ${options.map(
                (option, index) => html`<li
                  key=${option.text}
                  id=${`suggestion-${index}`}
                  role="option"
                  aria-selected=${index === active ? "true" : "false"}
                  onPointerDown=${(event) => {
                    event.preventDefault();
                    this.accept(option);
                  }}
                >
                  <span class="suggestion"><${Text} value=${option.label ?? option.text} /></span>
                  ${option.hint ? html`<span class="muted">${option.hint}</span>` : null}
                </li>`,
              )}
            </ul>
          </div>
          <${SpanSelect} state=${state} actions=${actions} />
          <button type="submit" class="button button-main">Search</button>
        </div>
        <${Chips} state=${state} actions=${actions} />
        <div id="search-problems" role="status">
          ${problems.map((problem) => html`<${SearchProblem} problem=${problem} state=${state} actions=${actions} />`)}
        </div>
      </form>
    `;
  }
}

const SpanSelect = ({ state, actions }) => {
  const times = state.terms.filter(({ name }) => name === "since" || name === "until");
  const span = times.length === 0 ? "" : times.length === 1 && times[0].name === "since" ? times[0].value : "other";
  const isKnown = SPANS.some(([value]) => value === span);
  return html`<select
    class="span-select"
    aria-label="Span of time"
    value=${isKnown ? span : "other"}
    onChange=${(event) => actions.setSpan(event.target.value)}
  >
    ${SPANS.map(([value, label]) => html`<option key=${value} value=${value}>${label}</option>`)}
    ${isKnown ? null : html`<option value="other">Chosen span</option>`}
  </select>`;
};

const describe = ({ name, path, value }, zone) => {
  const label = [name, ...path].join(".");
  if (name !== "since" && name !== "until") return [label, value];
  const time = readTime(value, 0);
  return [label, time?.text ? formatTime(time.ms, zone, { milliseconds: time.ms % 1000 !== 0 }) : value];
};

const Chips = ({ state, actions }) => {
  if (!state.terms.length) return null;
  return html`<ul class="chips" aria-label="Terms of the search">
    ${state.terms.map((term) => {
      const [label, value] = describe(term, state.zone);
      return html`<li class="chip" key=${`${term.start}`}>
        <span class="chip-name"><${Text} value=${label} /></span>
        <span class="chip-value"><${Text} value=${value} /></span>
        <button type="button" aria-label=${`Remove ${label}`} onClick=${() => actions.search(removeTerm(state.q, term))}>
          <svg viewBox="0 0 12 12" aria-hidden="true"><path d="m3 3 6 6m0-6-6 6" /></svg>
        </button>
      </li>`;
    })}
    ${state.terms.length > 1
      ? html`<li><button type="button" class="link" onClick=${() => actions.search("")}>Clear all</button></li>`
      : null}
  </ul>`;
};

const SearchProblem = ({ problem, state, actions }) => html`
  <p class="search-problem">
    <${Text} value=${problem.message} />
    ${problem.suggestions.map(
      (text) => html`<button
        key=${text}
        type="button"
        class="link"
        onClick=${() => actions.search(replaceRange(state.q, problem, text))}
      ><${Text} value=${text} /></button>`,
    )}
  </p>
`;
