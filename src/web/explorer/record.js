// The open record. It is replaced by the record panel.

import { html } from "./html.js";
import { Text } from "./text.js";

/** Shows the record whose id is `state.record`. */
export const Record = ({ state, actions }) => html`
  <div>
    <button type="button" onClick=${actions.closeRecord}>Close</button>
    <p>Record <${Text} value=${state.record} /></p>
  </div>
`;
