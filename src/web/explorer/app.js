// The whole page as a function of the state.

import { urlOf } from "./api.js";
import { Ask } from "./ask.js";
import { EARLY } from "./early.js";
import { html, keep } from "./html.js";
import { Help } from "./keys.js";
import { List, describeTotal } from "./list.js";
import { Menu } from "./menu.js";
import { Guard, ProblemNote } from "./problem.js";
import { Search } from "./search.js";
import { shorten } from "./tree.js";
import { Views } from "./views.js";

const THEMES = { auto: "dark or light as the system", light: "light", dark: "dark" };
const LIVE_STATES = { off: "Live", connecting: "Connecting\u2026", on: "Live", waiting: "Reconnecting\u2026" };

const Bar = keep(({ state, actions, isCovered }) => html`
  <header class="bar" inert=${isCovered}>
    <h1><svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" /><path d="M9 11h14M9 16h10M9 21h6" /></svg> Audit trail</h1>
    <nav class="tabs" aria-label="Sections">
      ${[["records", "Records"], ["changes", "Changes"]].map(
        ([view, label]) => html`<button
          key=${view}
          type="button"
          aria-current=${state.view === view ? "page" : null}
          onClick=${() => actions.show(view)}
        >${label}</button>`,
      )}
    </nav>
    <div class="bar-end">
      ${state.ask.isAvailable
        ? html`<button type="button" class="button" aria-expanded=${state.ask.isOpen ? "true" : "false"} onClick=${actions.toggleAsk}>Ask</button>`
        : null}
      <${Views} state=${state} actions=${actions} />
      <button type="button" class="icon-button" aria-label=${`Colours: ${THEMES[state.theme]}`} title=${`Colours: ${THEMES[state.theme]}`} onClick=${actions.nextTheme}>
        <svg viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="5.5" /><path class="filled" d="M8 2.5a5.5 5.5 0 0 1 0 11z" /></svg>
      </button>
      <button type="button" class="icon-button" aria-label="Keys and search" title="Keys and search (?)" onClick=${() => actions.setHelp(true)}>?</button>
    </div>
  </header>
`, ({ state, isCovered }) => [state.view, state.ask, state.views, state.theme, state.q, isCovered]);

const Toolbar = ({ state, actions }) => {
  const { list, live } = state;
  const exportUrl = (format) => urlOf("audits/export", [...(state.filter ?? []), ["format", format]]);
  const drawExports = (close) => html`
    <a href=${exportUrl("ndjson")} download onClick=${close}>NDJSON</a>
    <a href=${exportUrl("csv")} download onClick=${close}>CSV</a>
    <p class="muted">All records of this search, in one snapshot.</p>
  `;
  return html`
    <div class="toolbar">
      <button
        type="button"
        class="button facets-button"
        aria-expanded=${state.isFacetsOpen ? "true" : "false"}
        aria-controls="facets"
        onClick=${actions.toggleFacets}
      >Filters</button>
      <p class="total" role="status">
        ${list.total === null || list.error ? null : html`<strong>${describeTotal(list)}</strong> ${list.total === 1 ? "record" : "records"}`}
      </p>
      <div class="toolbar-end">
        <button
          type="button"
          class="button live"
          data-state=${live.state}
          aria-pressed=${live.isOn ? "true" : "false"}
          title="Show new records as they come (l)"
          onClick=${actions.toggleLive}
        >${LIVE_STATES[live.state]}</button>
        ${state.filter ? html`<${Menu} label="Export" draw=${drawExports} />` : null}
      </div>
    </div>
  `;
};

const Records = ({ state, actions, register, parts: { Facets, Histogram } }) => html`
  <${Guard} data=${state.facets}><${Facets} state=${state} actions=${actions} /><//>
  <div class="content">
    ${state.problems.length
      ? null
      : html`<${Guard} data=${state.histogram}><${Histogram} histogram=${state.histogram} state=${state} actions=${actions} /><//>`}
    <${Toolbar} state=${state} actions=${actions} />
    ${state.list.error
      ? html`<${ProblemNote}
          problem=${state.list.error}
          note=${state.list.rows.length ? "The rows below are those of the search before." : null}
          onRetry=${actions.retry}
        />`
      : null}
    <div class="list" data-loading=${state.list.isLoading ? "" : null}>
      <div class="progress" aria-hidden="true"></div>
      <${Guard} data=${state.list}>
        <${List} list=${state.list} state=${state} actions=${actions} register=${register.list} />
      <//>
    </div>
  </div>
`;

// On a narrow screen the record lies over all else: Tab stays in it.
const isCovered = ({ record, isNarrow }) => record !== null && isNarrow;

// What the URL says that the page cannot read. It is gone with the next step, which writes another URL.
const Ignored = ({ ignored }) => {
  const described = ignored.map(({ name, value, form }) => `${name}=${shorten(value, 60)} is ignored: ${name} is ${form}.`);
  const problem = { title: "A part of this URL cannot be read", detail: described.join(" ") };
  return html`<${ProblemNote} problem=${problem} isSmall />`;
};

/** The page. `register` takes the components that the keys move. */
export const App = ({ state, actions, register }) => {
  const parts = state.later ?? EARLY;
  return html`
    <div class="page" data-record=${state.record ? "" : null}>
      <${Bar} state=${state} actions=${actions} isCovered=${isCovered(state)} />
      ${state.view === "records" || state.ignored.length
        ? html`<div class="searches" inert=${isCovered(state)}>
            ${state.view === "records"
              ? html`
                  <${Search} state=${state} actions=${actions} register=${register.search} />
                  <${Guard} data=${state.ask}><${Ask} state=${state} actions=${actions} /><//>
                `
              : null}
            ${state.ignored.length ? html`<${Ignored} ignored=${state.ignored} />` : null}
          </div>`
        : null}
      <main class="main" data-view=${state.view} inert=${isCovered(state)}>
        ${state.view === "records"
          ? html`<${Records} state=${state} actions=${actions} register=${register} parts=${parts} />`
          : html`<${Guard} data=${state.changes}><${parts.Changes} state=${state} actions=${actions} /><//>`}
      </main>
      ${state.record
        ? html`<aside class="side" aria-label="Record">
            <${Guard} data=${state.record}><${parts.Record} key=${state.record} state=${state} actions=${actions} /><//>
          </aside>`
        : null}
      ${state.isHelpOpen ? html`<${Help} actions=${actions} />` : null}
      <div class="notice" role="status" data-shown=${state.notice ? "" : null}>${state.notice}</div>
    </div>
  `;
};
