// An answer that was none, where it is missed: what it says, the id to ask about, and how to try again.

import { html } from "./html.js";
import { Text } from "./text.js";

/** `problem` is a `Problem` of api.js, or any other error. */
export const Failure = ({ problem, retry }) => html`
  <div class="failure" role="alert">
    <p><strong>${problem.message}</strong></p>
    ${problem.detail ? html`<p><${Text} value=${problem.detail} /></p>` : null}
    ${problem.requestId ? html`<p class="muted">Request <code>${problem.requestId}</code></p>` : null}
    ${retry ? html`<button type="button" onClick=${retry}>Try again</button>` : null}
  </div>
`;
