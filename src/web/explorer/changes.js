// What was corrected or removed lately. It is replaced by the view of the feed.

import { html } from "./html.js";

/** Shown in place of the list while `state.view` is `changes`. */
export const Changes = () => html`<p>Changes</p>`;
