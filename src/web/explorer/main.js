// Starts the page: the store, its actions, the first render, and then what is loaded later.

import { createActions, initialState } from "./actions.js";
import { App } from "./app.js";
import { html, render } from "./html.js";
import { listenToKeys } from "./keys.js";
import { afterPaint } from "./paint.js";
import { createStore } from "./store.js";

// So long the page waits for its first rows before it is drawn without them.
const PATIENCE_MS = 100;

const store = createStore(initialState());
const actions = createActions(store);

const inner = { list: null, search: null };
const register = {
  list: (component) => (inner.list = component),
  search: (component) => (inner.search = component),
};

const root = document.getElementById("app");
const draw = (state) => render(html`<${App} state=${state} actions=${actions} register=${register} />`, root);
const begin = () => {
  store.subscribe(draw);
  draw(store.get());
  afterPaint(actions.loadLater);
};
addEventListener("popstate", actions.followUrl);
listenToKeys(store, actions, inner);
// A page that is drawn at once with its rows is sooner there than one that is drawn without them, and then again.
Promise.race([actions.start(), new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]).then(begin);
