// Recomputes here what a proof of the ledger says: revision -> hash -> entry -> leaf -> root -> signed checkpoint.

import { canonicalize, NotCanonical } from "./canonical.js";
import { isEqual } from "./diff.js";
import { hashFromHex, hashLeaf, rootFromPath, sha256, toHex } from "./merkle.js";
import { encodeBase64, InvalidNote, parseCheckpoint, parseKey, parseNote, verifyNote } from "./notes.js";

const utf8 = new TextEncoder();

/** Steps end in one of these: `holds`, `fails`, or `unchecked` where nothing can be said. */
const holds = (name, text, hash) => ({ name, result: "holds", text, hash });
const fails = (name, text, hash) => ({ name, result: "fails", text, hash });
const unchecked = (name, text) => ({ name, result: "unchecked", text });
const decide = (isSo, name, text, otherwise, hash) => (isSo ? holds(name, text, hash) : fails(name, otherwise, hash));

/**
 * The steps of the check, each `{name, result, text, hash}`.
 *
 * `proof` is what `GET /ledger/proofs/{audit_id}` answered, `shown` the revision of the history that the page shows, and
 * `keys` the verifier keys. The caller has parsed each JSON with `parse` of json.js.
 */
export const checkProof = async ({ proof, shown, audit_id, keys }) => {
  try {
    const steps = [await checkDocument(proof, shown, audit_id)];
    const leaf = await hashLeaf(utf8.encode(proof.entry));
    steps.push(checkEntry(proof, shown, audit_id, leaf));
    const root = await rootFromPath(leaf, proof.index, proof.size, takeHashes(proof.hashes));
    steps.push(await checkRoot(proof, root), ...(await checkSignatures(proof, keys)));
    return steps;
  } catch (error) {
    if (!(error instanceof InvalidNote || error instanceof TypeError)) throw error;
    return [fails("Proof", `The proof cannot be read: ${error.message}.`)];
  }
};

const takeHashes = (hashes) => {
  const path = hashes.map(hashFromHex);
  if (path.includes(null)) throw new InvalidNote("one of its hashes is not a hash");
  return path;
};

const checkDocument = async ({ document, entry }, shown, audit_id) => {
  const name = "Revision";
  if (document === null) return unchecked(name, "The proof does not have the text of this version, which may be redacted. What is shown above was not checked.");
  const other = findOther(document, shown, audit_id);
  if (other) return fails(name, `The proof has another ${other} than this page shows.`);
  try {
    const hash = toHex(await sha256(utf8.encode(canonicalize(document))));
    const text = "What is shown above has the hash that is in the ledger.";
    const otherwise = "What is shown above has another hash than the one in the ledger.";
    return decide(hash === hashOf(entry), name, text, otherwise, hash);
  } catch (error) {
    if (!(error instanceof NotCanonical)) throw error;
    return unchecked(name, `Its hash cannot be recomputed in this browser: ${error.message}.`);
  }
};

const hashOf = (entry) => JSON.parse(entry).hash;

const MEMBERS = ["version", "operation", "changed_by", "reason", "previous_hash", "record"];

/** The name of a member in which the hashed document differs from what the page shows; undefined where none does. */
const findOther = (document, shown, audit_id) => {
  if (document.audit_id !== audit_id) return "audit_id";
  if (trimTime(document.changed_at) !== trimTime(shown.changed_at)) return "changed_at";
  return MEMBERS.find((name) => !isEqual(document[name], shown[name]));
};

/** A time without the zeros that end its fraction. */
const trimTime = (time) => time.replace(/(?:\.0+|(\.[0-9]*?)0+)Z$/, "$1Z");

const checkEntry = ({ entry }, shown, audit_id, leaf) => {
  const { operation, version, hash } = shown;
  const expected = canonicalize({ audit_id, hash, operation, version });
  const text = "The entry of the ledger names this record, this version and its hash.";
  const otherwise = "The entry of the ledger belongs to another version.";
  return decide(entry === expected, "Entry", text, otherwise, toHex(leaf));
};

const checkRoot = async ({ index, size, root, checkpoint }, computed) => {
  const name = "Path to the root";
  if (!computed) return fails(name, "The path is too long or too short for a ledger of this size.");
  const hash = toHex(computed);
  if (hash !== root) return fails(name, "The path leads to another root than the root of the ledger.", hash);
  const text = `Entry ${index} of ${size} leads to the root`;
  if (checkpoint === null) return holds(name, `${text} that the server states.`, hash);
  const signed = parseCheckpoint(parseNote(checkpoint).text);
  const isSame = signed.size === String(size) && toHex(signed.root) === hash;
  return decide(isSame, name, `${text} in the checkpoint.`, "The checkpoint is of another size or root.", hash);
};

const checkSignatures = async (proof, keys) => {
  const name = "Signature of the checkpoint";
  if (proof.checkpoint === null) {
    // With a key every proof has one. Without this, a server could leave out the signature that it cannot make.
    if (keys.length) return [fails(name, "The ledger has a verifier key, but this proof has no signed checkpoint.")];
    return [unchecked(name, "This ledger is not signed: it has no key.")];
  }
  const note = parseNote(proof.checkpoint);
  const { origin } = parseCheckpoint(note.text);
  if (!keys.length) return [unchecked(name, "There is no verifier key.")];
  const results = await Promise.all(keys.map((key) => verifyOrigin(note, origin, key)));
  // While keys overlap, an old checkpoint has not the signature of each.
  const isSigned = results.includes("valid");
  const kinds = results.map((result) => (isSigned && result === "missing" ? "overlap" : result));
  return [...kinds.map((kind) => ({ name, ...SIGNATURES[kind] })), checkFile(proof)];
};

const verifyOrigin = async (note, origin, text) => {
  const key = await parseKey(text).catch((error) => {
    if (!(error instanceof InvalidNote)) throw error;
    return null;
  });
  if (!key) return "unreadable";
  return key.name === origin ? verifyNote(note, key) : "other";
};

const SIGNATURES = {
  valid: { result: "holds", text: "The key has signed the checkpoint (Ed25519)." },
  wrong: { result: "fails", text: "The signature of the checkpoint is wrong." },
  missing: { result: "fails", text: "The checkpoint is not signed with the key." },
  overlap: { result: "unchecked", text: "This key has not signed the checkpoint, but another key has." },
  unreadable: { result: "fails", text: "The verifier key cannot be read. A key has the form name+id+key." },
  other: { result: "fails", text: "The checkpoint and the key belong to different ledgers." },
  unsupported: { result: "unchecked", text: "Not checked: this browser does not know this kind of signature." },
};

const checkFile = ({ index, hashes, document, checkpoint, tlog_proof }) => {
  const name = "File for download";
  const extra = document === null ? [] : [`extra ${encodeBase64(utf8.encode(tryCanonicalize(document)))}`];
  const path = takeHashes(hashes).map(encodeBase64);
  const expected = `${["c2sp.org/tlog-proof@v1", ...extra, `index ${index}`, ...path].join("\n")}\n\n${checkpoint}`;
  return decide(tlog_proof === expected, name, "The file has the proof that was checked here.", "The file has another proof than the one that was checked here.");
};

const tryCanonicalize = (document) => {
  try {
    return canonicalize(document);
  } catch {
    return "";
  }
};
