// Starts the page: the store, its actions, and the first render.

import { createActions } from "./actions.js";
import { App } from "./app.js";
import { html, render } from "./html.js";
import { createStore, readUrl } from "./store.js";

const found = readUrl(location.href);
const store = createStore({ ...found, draft: found.q, notice: null });
const actions = createActions(store, { searched: () => {} });

const root = document.getElementById("app");
const draw = (state) => render(html`<${App} state=${state} actions=${actions} />`, root);
store.subscribe(draw);
addEventListener("popstate", actions.followUrl);
draw(store.get());
