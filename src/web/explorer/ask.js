// A question in words, of which a model makes the filter of a search. It is there where AI is configured.

import { asProblem, get, isAborted, post } from "./api.js";
import { html } from "./html.js";
import { ProblemNote } from "./problem.js";
import { fromFilter } from "./query.js";
import { Text } from "./text.js";

/** `answered` is the search that a model made of the question, or null; `unsupported` is what that search leaves out. */
export const NOT_ASKED = { isAvailable: false, isOpen: false, isLoading: false, question: "", unsupported: [], error: null, answered: null };

/** Creates the asker. `search` shows the records of the text of a search box. */
export const createAsk = (store, search) => {
  const setAsk = (patch) => store.set(({ ask }) => ({ ask: { ...ask, ...patch } }));
  let controller = null;
  return {
    /** Finds out whether there is a model to ask. */
    find: async () => {
      try {
        setAsk({ isAvailable: (await get("ai/status")).configured });
      } catch {
        setAsk({ isAvailable: false });
      }
    },
    toggle: () => {
      setAsk({ isOpen: !store.get().ask.isOpen });
      // After the store has told of it: then the box is there, or is not.
      queueMicrotask(() => document.querySelector(".ask input")?.focus());
    },
    write: (question) => setAsk({ question }),
    ask: async () => {
      const { question } = store.get().ask;
      if (!question.trim()) return;
      controller?.abort();
      controller = new AbortController();
      setAsk({ isLoading: true, error: null, unsupported: [], answered: null });
      try {
        const body = { question, dry_run: true };
        const { filter, unsupported } = await post("ai/audits/query", body, { signal: controller.signal });
        const q = fromFilter(filter);
        setAsk({ isLoading: false, unsupported, answered: q });
        search(q);
      } catch (error) {
        if (isAborted(error)) return;
        const problem = asProblem(error);
        setAsk({ isLoading: false, error: problem });
      }
    },
  };
};

export const Ask = ({ state, actions }) => {
  const { ask, q } = state;
  if (!ask.isAvailable || !ask.isOpen) return null;
  const submit = (event) => {
    event.preventDefault();
    actions.ask();
  };
  return html`
    <form class="ask" onSubmit=${submit} aria-busy=${ask.isLoading ? "true" : "false"}>
      <div class="search-row">
        <input
          type="text"
          name="question"
          aria-label="Question"
          maxlength="2000"
          autocomplete="off"
          placeholder="Which invoices did u-17 fail to update last week?"
          value=${ask.question}
          onInput=${(event) => actions.writeQuestion(event.target.value)}
        />
        <button type="submit" class="button" disabled=${ask.isLoading}>${ask.isLoading ? "Asking\u2026" : "Ask"}</button>
      </div>
      <div role="status">
        ${ask.error ? html`<${ProblemNote} problem=${ask.error} onRetry=${actions.ask} isSmall />` : null}
        ${ask.answered === q && !ask.unsupported.length
          ? html`<p class="ask-note">A model made the search above from your question. Check that it is what you meant.</p>`
          : null}
        ${ask.answered === q && ask.unsupported.length
          ? html`<div class="ask-note ask-missing">
              No filter can say this, so the search leaves it out:
              <ul>${ask.unsupported.map((each) => html`<li key=${each}><${Text} value=${each} /></li>`)}</ul>
            </div>`
          : null}
      </div>
    </form>
  `;
};
