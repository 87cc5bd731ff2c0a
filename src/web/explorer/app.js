// The whole page as a function of the state.

import { Changes } from "./changes.js";
import { html } from "./html.js";
import { Record } from "./record.js";

export const App = ({ state, actions }) => html`
  <div class="page" data-record=${state.record ? "open" : null}>
    <header class="bar"><h1>Audit trail</h1></header>
    <main class="main">
      ${state.view === "changes" ? html`<${Changes} state=${state} actions=${actions} />` : null}
    </main>
    ${state.record
      ? html`<aside class="side" aria-label="Record">
          <${Record} key=${state.record} state=${state} actions=${actions} />
        </aside>`
      : null}
    <div class="notice" role="status" aria-live="polite">${state.notice}</div>
  </div>
`;
