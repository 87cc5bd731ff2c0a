// The proof that a version is in the ledger: what the server says of it, and what this browser finds by itself.

import { asProblem, get, isAborted } from "./api.js";
import { Component, Fragment, html } from "./html.js";
import { parse } from "./json.js";
import { canHash } from "./merkle.js";
import { cosignedAt, InvalidNote, parseNote } from "./notes.js";
import { keepOwnKey, readOwnKey } from "./own_key.js";
import { ProblemNote } from "./problem.js";
import { checkProof } from "./proofs.js";
import { copy, download } from "./sharing.js";
import { Text, formatCount } from "./text.js";
import { formatFull } from "./time.js";
import { LongText } from "./tree_view.js";

const NOT_SEALED = 409;
// Sealing takes seconds; what takes longer is for the reader to ask again.
const ATTEMPTS = 20;
const MARKS = { holds: "\u2713", fails: "\u2717", unchecked: "\u2013" };
const WORDS = { holds: "holds", fails: "does not hold", unchecked: "not checked" };

/** The proof of `revision`, a version of the record `auditId` as its history has it. */
export class Proof extends Component {
  constructor(props) {
    super(props);
    this.state = { proof: null, ledger: null, problem: null, steps: null, ownKey: readOwnKey() };
    this.abort = new AbortController();
    this.recompute = this.recompute.bind(this);
    this.setOwnKey = this.setOwnKey.bind(this);
  }

  componentDidMount() {
    this.load();
  }

  componentWillUnmount() {
    this.abort.abort();
    clearTimeout(this.timer);
  }

  async load(attempt = 1) {
    const { auditId, revision } = this.props;
    const { signal } = this.abort;
    clearTimeout(this.timer);
    try {
      const [proof, ledger] = await Promise.all([
        get(`ledger/proofs/${auditId}`, { version: revision.version }, { signal, parse }),
        get("ledger", {}, { signal }),
      ]);
      this.setState({ proof, ledger, problem: null, steps: null });
    } catch (problem) {
      if (isAborted(problem) || signal.aborted) return;
      this.setState({ problem });
      if (problem.status === NOT_SEALED && attempt < ATTEMPTS) {
        this.timer = setTimeout(() => this.load(attempt + 1), (problem.retryAfter ?? 1) * 1000);
      }
    }
  }

  async recompute() {
    const { auditId, revision } = this.props;
    const { proof, ledger, ownKey } = this.state;
    const keys = ownKey ? [ownKey] : ledger.keys;
    this.setState({ steps: null });
    try {
      this.setState({ steps: await checkProof({ proof, shown: revision, audit_id: auditId, keys }) });
    } catch (error) {
      const text = `This browser could not check it: ${error.message}.`;
      this.setState({ steps: [{ name: "Proof", result: "unchecked", text }] });
    }
  }

  setOwnKey(event) {
    const ownKey = event.currentTarget.value.trim();
    keepOwnKey(ownKey);
    this.setState({ ownKey, steps: null });
  }

  render({ auditId, revision, zone, actions }, { proof, ledger, problem, steps, ownKey }) {
    if (problem?.status === NOT_SEALED) return notSealed(() => this.load());
    if (problem) return html`<${ProblemNote} problem=${asProblem(problem)} onRetry=${() => this.load()} />`;
    if (!proof) return html`<p class="muted" role="status">Reading the proof\u2026</p>`;
    return html`<${Fragment}>
      ${renderPlace(proof, ledger, zone)}
      <div class="buttons">
        <button type="button" class="button button-main" disabled=${!canHash()} onClick=${this.recompute}>
          Recompute in this browser
        </button>
        ${proof.tlog_proof
          ? html`<button type="button" class="button" onClick=${() => save(auditId, revision.version, proof)}>
              Download .tlog-proof
            </button>`
          : null}
      </div>
      ${canHash() ? null : html`<p class="caution">${NO_CRYPTO}</p>`}
      <div role="status">${steps ? renderSteps(steps) : null}</div>
      ${ledger.keys.length || ownKey ? this.renderKey(ledger.keys, ownKey, actions) : null}
      ${renderMeaning(proof, ledger)}
    <//>`;
  }

  renderKey(keys, ownKey, actions) {
    const whose = keys.includes(ownKey) ? "It is" : "It is not";
    const copyKey = async (key) => actions.notify((await copy(key)) ? "Copied" : NOT_COPIED);
    return html`<div class="key">
      <h4>Verifier key</h4>
      ${keys.map(
        (key) => html`<p class="hash">
          <code><${LongText} value=${key} /></code>
          <button type="button" class="link" onClick=${() => copyKey(key)}>Copy</button>
        </p>`,
      )}
      <p class="muted">
        ${keys.length
          ? "The server itself states this key. Compare it with a key that you got in another way: only then does the signature show who signed."
          : "The server says that it has no key."}
      </p>
      <label>
        The key that you got in another way
        <input
          type="text"
          spellcheck="false"
          autocomplete="off"
          placeholder="name+id+key"
          value=${ownKey}
          onInput=${this.setOwnKey}
        />
      </label>
      ${ownKey
        ? html`<p class=${keys.includes(ownKey) ? "holds" : "fails"}>
            ${whose} the key that this server states. The signature is checked with yours.
          </p>`
        : null}
    </div>`;
  }
}

const NOT_COPIED = "The browser did not copy it";
const NO_CRYPTO =
  "This browser cannot compute hashes on a page that came over plain HTTP. Open it over HTTPS, or download the proof and " +
  "check it with scripts/check_ledger.py.";

const notSealed = (retry) => html`
  <p role="status"><span class="seal" data-state="waiting">Not sealed yet</span></p>
  <p class="muted">
    Every version gets its place in the ledger within seconds of its commit. This page looks again by itself.
  </p>
  <button type="button" class="button" onClick=${retry}>Look again</button>
`;

const save = (auditId, version, { tlog_proof }) => download(`${auditId}.${version}.tlog-proof`, tlog_proof);

const renderPlace = (proof, ledger, zone) => {
  const last = ledger.last_checkpoint;
  const at = last?.size === proof.size ? `, of ${formatFull(last.created_at, zone)}` : "";
  const entries = `${formatCount(proof.size)} entries`;
  return html`<${Fragment}>
    <p>
      <span class="seal" data-state="sealed">Sealed</span> as entry <strong>${formatCount(proof.index)}</strong> of the ledger
    </p>
    <dl class="facts">
      <dt>Checkpoint</dt>
      <dd>
        ${proof.checkpoint === null
          ? `none: this ledger has no key. It has ${entries}`
          : html`<${Text} value=${ledger.origin} />, ${entries}${at}`}
      </dd>
      <dt>Root</dt>
      <dd class="hash"><code>${proof.root}</code></dd>
      <dt>Path</dt>
      <dd>${proof.hashes.length === 1 ? "1 hash" : `${proof.hashes.length} hashes`} from the entry to the root</dd>
      <dt>Witnesses</dt>
      <dd>${renderWitnesses(proof, ledger, zone)}</dd>
    </dl>
  <//>`;
};

const renderWitnesses = ({ checkpoint }, { origin, witnesses }, zone) => {
  const others = checkpoint === null ? [] : signaturesOf(checkpoint).filter(({ name }) => name !== origin);
  const missing = witnesses.filter(({ name }) => !others.some((signature) => signature.name === name));
  if (!others.length && !missing.length) return "none: nobody else has signed what this server says";
  return html`<ul class="plain">
    ${others.map(
      (signature) => html`<li>
        <${Text} value=${signature.name} /> has signed${writeTime(cosignedAt(signature), zone)}
        ${" "}<span class="muted">(its key is not known here, so this is not checked)</span>
      </li>`,
    )}
    ${missing.map(
      ({ name, state }) =>
        html`<li><${Text} value=${name} /> has not signed it <span class="muted">(${state})</span></li>`,
    )}
  </ul>`;
};

const signaturesOf = (checkpoint) => {
  try {
    return parseNote(checkpoint).signatures;
  } catch (error) {
    if (error instanceof InvalidNote) return [];
    throw error;
  }
};

const writeTime = (seconds, zone) => (seconds ? ` at ${formatFull(seconds * 1000, zone)}` : "");

const renderSteps = (steps) => {
  const failed = steps.some(({ result }) => result === "fails");
  const open = steps.filter(({ result }) => result === "unchecked").length;
  const verdict = failed ? "fails" : open ? "unchecked" : "holds";
  return html`<div class="verdict" data-result=${verdict}>
    <p>
      <strong>${failed ? "It does not hold." : open ? "What could be checked holds." : "It holds."}</strong>
      ${" "}Computed by this browser.
    </p>
    <ol class="steps">
      ${steps.map(
        ({ name, result, text, hash }) => html`<li data-result=${result}>
          <span class="mark" aria-hidden="true">${MARKS[result]}</span>
          <div>
            <strong>${name}</strong> <span class="visually-hidden">${WORDS[result]}</span>
            <div>${text}</div>
            ${hash ? html`<div class="hash"><code>${hash}</code></div>` : null}
          </div>
        </li>`,
      )}
    </ol>
  </div>`;
};

const renderMeaning = ({ checkpoint }, { quorum, witnesses }) => {
  const shows = ["This version is in the ledger, at this place, and is what was sealed."];
  const not = ["That what was recorded is true, and that all of what happened was recorded."];
  if (checkpoint === null) {
    not.push("That whoever owns the database did not rewrite it: there is no key, so there is no signature.");
  } else {
    shows.push("Whoever lacks the key has not rewritten it.");
    if (witnesses.length && quorum) shows.push("Where witnesses have signed, they saw the same ledger.");
    else not.push("That others see the same ledger: no witness has signed.");
    not.push("That the ledger was not rewritten by whoever has the key: a checkpoint that you kept shows that.");
  }
  return html`<div class="meaning">
    <div><h4>What a proof that holds shows</h4><ul>${shows.map((text) => html`<li>${text}</li>`)}</ul></div>
    <div><h4>What it does not show</h4><ul>${not.map((text) => html`<li>${text}</li>`)}</ul></div>
  </div>`;
};
