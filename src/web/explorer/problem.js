// What went wrong, as the service says it, with what its support needs.

import { asProblem } from "./api.js";
import { Component, html } from "./html.js";
import { Text } from "./text.js";

/** Shows a `Problem` of api.js. `note` is what it means for what is on the page; `onRetry` adds a button. */
export const ProblemNote = ({ problem, note, onRetry, isSmall }) => html`
  <div class=${isSmall ? "problem problem-small" : "problem"} role="alert">
    <div class="problem-text">
      <strong><${Text} value=${problem.title} /></strong>
      ${problem.detail ? html` <${Text} value=${problem.detail} />` : null} ${note ? html`<span>${note}</span>` : null}
      ${problem.errors?.length
        ? html`<ul>${problem.errors.map(({ loc, msg }) => html`<li><${Text} value=${`${loc.slice(1).join(".")}: ${msg}`} /></li>`)}</ul>`
        : null}
      ${problem.requestId ? html`<code class="request-id">request_id ${problem.requestId}</code>` : null}
    </div>
    ${onRetry ? html`<button type="button" class="button" onClick=${onRetry}>Retry</button>` : null}
  </div>
`;

/** Shows a problem in place of a part that cannot be drawn, and leaves the rest alone. It is drawn again for other `data`. */
export class Guard extends Component {
  componentDidCatch(error) {
    this.setState({ error });
  }

  componentDidUpdate({ data }) {
    if (this.state.error && data !== this.props.data) this.setState({ error: null });
  }

  render({ children }, { error }) {
    if (!error) return children;
    return html`<${ProblemNote} problem=${asProblem(error)} onRetry=${() => this.setState({ error: null })} isSmall />`;
  }
}
