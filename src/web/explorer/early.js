// What stands in place of the parts that are loaded later, with their sizes: nothing moves when they come.

import { html } from "./html.js";
import { ProblemNote } from "./problem.js";

const NOT_LOADED = { title: "A part of this page was not loaded", detail: "Reload the page.", requestId: null };

const Facets = ({ state }) => html`
  <nav class="facets" id="facets" aria-label="Filters" data-open=${state.isFacetsOpen ? "" : null}></nav>
`;

const Histogram = ({ state }) => html`
  <section class="histogram" aria-label="Histogram">
    ${state.isLaterMissing
      ? html`<${Missing} state=${state} />`
      : html`
          <div class="chart chart-empty" aria-hidden="true"></div>
          <div class="axis"><span>\u00a0</span></div>
        `}
  </section>
`;

const Missing = ({ state }) =>
  state.isLaterMissing ? html`<${ProblemNote} problem=${NOT_LOADED} onRetry=${() => location.reload()} isSmall />` : null;

export const EARLY = { Changes: Missing, Facets, Histogram, Record: Missing };
