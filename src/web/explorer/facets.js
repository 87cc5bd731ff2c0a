// The commonest values of some fields, each of which is a filter of the API when one clicks it.

import { FACETS } from "./aggregates.js";
import { html, keep } from "./html.js";
import { formatTerm } from "./query.js";
import { Text, formatCount, plain } from "./text.js";

const TITLES = {
  status: "Status", action: "Action", entity_type: "Entity type", actor_id: "Actor", actor_type: "Actor type",
};

const count = (value, relation) =>
  `${relation === "approx" ? "\u2248 " : ""}${value.toLocaleString("en", { notation: value >= 100_000 ? "compact" : "standard" })}`;

const Values = ({ field, data, chosen, actions }) => {
  const highest = Math.max(1, ...data.values.map((each) => each.count));
  // Chosen values that are not among the commonest: here too one can take them out.
  const others = [...chosen].filter((value) => data.values.every((each) => each.value !== value));
  return html`<ul class="facet-values">
    ${[...others.map((value) => ({ value, count: 0 })), ...data.values].map(({ value, count: found }) => {
      const isChosen = chosen.has(value);
      const label = found ? `${plain(value)}: ${count(found, data.relation)} records` : plain(value);
      return html`<li key=${value}>
        <button
          type="button"
          class="facet-value"
          aria-pressed=${isChosen ? "true" : "false"}
          aria-label=${label}
          title=${label}
          onClick=${() => actions.toggle(formatTerm(field, value))}
        >
          <span class="facet-bar" style=${{ width: `${(found / highest) * 100}%` }}></span>
          <span class="facet-name" data-status=${field === "status" ? value : null}><${Text} value=${value} /></span>${" "}
          <span class="facet-count">${found ? count(found, data.relation) : ""}</span>
        </button>
      </li>`;
    })}
  </ul>`;
};

const Facet = ({ field, facet, state, actions }) => {
  const { data, error, isLoading } = facet;
  const chosen = new Set(state.terms.filter(({ name }) => name === field).map(({ value }) => value));
  return html`<section class="facet" aria-label=${TITLES[field]} data-stale=${isLoading && data ? "" : null}>
    <h2>
      ${TITLES[field]}
      ${data?.relation === "approx"
        ? html`<span class="estimate" title=${`Estimated from ${formatCount(data.sampled)} records`}>\u2248 estimated</span>`
        : null}
    </h2>
    ${error
      ? html`<p class="facet-error" role="alert" title=${`request_id ${error.requestId}`}>
          <${Text} value=${error.title} />
          <button type="button" class="link" onClick=${() => actions.reloadFacet(field)}>Retry</button>
        </p>`
      : null}
    ${data && !error ? html`<${Values} field=${field} data=${data} chosen=${chosen} actions=${actions} />` : null}
    ${data && !error && !data.values.length && !chosen.size ? html`<p class="muted">None</p>` : null}
    ${!data && !error ? html`<div class="skeleton" aria-hidden="true"></div>` : null}
  </section>`;
};

const draw = ({ state, actions }) => html`
  <nav class="facets" id="facets" aria-label="Filters" data-open=${state.isFacetsOpen ? "" : null}>
    ${(state.problems.length ? [] : FACETS).map(
      (field) => html`<${Facet} key=${field} field=${field} facet=${state.facets[field]} state=${state} actions=${actions} />`,
    )}
  </nav>
`;

export const Facets = keep(draw, ({ state }) => [state.facets, state.terms, state.problems, state.isFacetsOpen]);
