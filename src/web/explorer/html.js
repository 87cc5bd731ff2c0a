// The one place that imports the libraries: Preact's core, and htm in place of JSX.

import htm from "./vendor/htm.module.js";
import { Component, Fragment, createRef, h, render } from "./vendor/preact.mjs";

export { Component, Fragment, createRef, h, render };

/** A template of elements: html`<p class=${name}>${children}</p>`. Whatever is put in becomes text, and never markup. */
export const html = htm.bind(h);
