// Starts the page: the store, its actions, and the first render.

import { createActions, initialState } from "./actions.js";
import { App } from "./app.js";
import { html, render } from "./html.js";
import { listenToKeys } from "./keys.js";
import { createStore } from "./store.js";

const store = createStore(initialState());
const actions = createActions(store);

const inner = { list: null, search: null };
const register = {
  list: (component) => (inner.list = component),
  search: (component) => (inner.search = component),
};

const root = document.getElementById("app");
const draw = (state) => render(html`<${App} state=${state} actions=${actions} register=${register} />`, root);
store.subscribe(draw);
addEventListener("popstate", actions.followUrl);
listenToKeys(store, actions, inner);
draw(store.get());
actions.start();
