// Saved views: searches that this browser keeps under a name.

import { html } from "./html.js";
import { Menu } from "./menu.js";
import { Text, plain } from "./text.js";

const KEY = "audit-trail.explorer.views";
const MAX_VIEWS = 50;
const MAX_NAME = 80;

const isView = (each) => typeof each?.name === "string" && typeof each?.q === "string";

/** The views that are kept; none where the browser keeps nothing. */
export const readViews = () => {
  try {
    const found = JSON.parse(localStorage.getItem(KEY));
    return Array.isArray(found) ? found.filter(isView).map(({ name, q }) => ({ name, q })) : [];
  } catch {
    return [];
  }
};

const writeViews = (views) => {
  try {
    localStorage.setItem(KEY, JSON.stringify(views));
    return true;
  } catch {
    return false;
  }
};

export const createViews = (store, notify) => {
  const keep = (views, text) => {
    store.set({ views });
    notify(writeViews(views) ? text : "This browser stores nothing: the view is lost when you close the page.");
  };
  return {
    save: (name) => {
      const view = { name: name.trim().slice(0, MAX_NAME), q: store.get().q };
      if (!view.name) return;
      const others = readViews().filter((each) => each.name !== view.name);
      keep([...others, view].slice(-MAX_VIEWS), "View saved");
    },
    remove: (name) => keep(readViews().filter((each) => each.name !== name), "View removed"),
  };
};

export const Views = ({ state, actions }) => {
  const save = (event) => {
    event.preventDefault();
    const input = event.currentTarget.elements.namedItem("name");
    actions.saveView(input.value);
    input.value = "";
  };
  const draw = (close) => html`
    ${state.views.length
      ? html`<ul class="view-list">
          ${state.views.map(
            (view) => html`<li key=${view.name}>
              <button
                type="button"
                class="view-open"
                aria-label=${plain(view.name)}
                onClick=${() => {
                  close();
                  actions.search(view.q);
                }}
              >
                <${Text} value=${view.name} />
                <${Text} class="muted" value=${view.q || "all records"} />
              </button>
              <button type="button" class="icon-button" aria-label=${`Remove the view ${plain(view.name)}`} onClick=${() => actions.removeView(view.name)}>
                <svg viewBox="0 0 12 12" aria-hidden="true"><path d="m3 3 6 6m0-6-6 6" /></svg>
              </button>
            </li>`,
          )}
        </ul>`
      : html`<p class="muted">No views yet. A view keeps the search under a name, in this browser.</p>`}
    <form class="view-form" onSubmit=${save}>
      <input type="text" name="name" aria-label="Name of the view" maxlength="80" placeholder="Name this search" autocomplete="off" required />
      <button type="submit" class="button">Save</button>
    </form>
  `;
  return html`<${Menu} label="Views" draw=${draw} />`;
};
