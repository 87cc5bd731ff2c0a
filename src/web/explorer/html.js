// The one place that imports the libraries: Preact's core, and htm in place of JSX.

import htm from "./vendor/htm.module.js";
import { Component, Fragment, createRef, h, render } from "./vendor/preact.mjs";

export { Component, Fragment, createRef, h, render };

/** A template of elements: html`<p class=${name}>${children}</p>`. Whatever is put in becomes text, and never markup. */
export const html = htm.bind(h);

/** A component that is drawn anew only where one of the values has changed that `select` takes from its properties. */
export const keep = (draw, select) =>
  class extends Component {
    shouldComponentUpdate(next) {
      const [before, after] = [select(this.props), select(next)];
      return after.some((value, index) => value !== before[index]);
    }

    render(props) {
      return draw(props);
    }
  };
