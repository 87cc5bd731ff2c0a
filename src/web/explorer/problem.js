// What went wrong, as the service says it, with what its support needs.

import { html } from "./html.js";
import { Text } from "./text.js";

/** Shows a `Problem` of api.js. `note` is what it means for what is on the page; `onRetry` adds a button. */
export const ProblemNote = ({ problem, note, onRetry, isSmall }) => html`
  <div class=${isSmall ? "problem problem-small" : "problem"} role="alert">
    <div class="problem-text">
      <strong><${Text} value=${problem.title} /></strong>
      ${problem.detail ? html` <${Text} value=${problem.detail} />` : null} ${note ? html`<span>${note}</span>` : null}
      ${problem.errors
        ? html`<ul>${problem.errors.map(({ loc, msg }) => html`<li><${Text} value=${`${loc.slice(1).join(".")}: ${msg}`} /></li>`)}</ul>`
        : null}
      ${problem.requestId ? html`<code class="request-id">request_id ${problem.requestId}</code>` : null}
    </div>
    ${onRetry ? html`<button type="button" class="button" onClick=${onRetry}>Retry</button>` : null}
  </div>
`;
