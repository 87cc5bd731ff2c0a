// Signed notes (https://c2sp.org/signed-note), and checkpoints (https://c2sp.org/tlog-checkpoint).

import { concat, sha256, toHex } from "./merkle.js";

const ED25519 = 1;
const COSIGNATURE_BYTES = 4 + 8 + 64;
const CONTROL = /[\u0000-\u0009\u000b-\u001f]/;
const SIGNATURE_LINE = /^\u2014 ([^\s+]+) ([A-Za-z0-9+/]+={0,2})$/u;
const KEY = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/u;
const SIZE = /^(?:0|[1-9][0-9]{0,18})$/;

/** The text is no signed note, no checkpoint or no key. */
export class InvalidNote extends Error {}

const utf8 = new TextEncoder();

/** Standard base64, of which every value has one form only. */
export const decodeBase64 = (text) => {
  let binary = "";
  try {
    binary = atob(text);
  } catch {
    throw new InvalidNote("some base64 in it is not valid");
  }
  if (btoa(binary) !== text) throw new InvalidNote("some base64 in it is not written in the standard form");
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
};

export const encodeBase64 = (bytes) => {
  let binary = "";
  // In pieces: the arguments of one call are limited.
  for (let start = 0; start < bytes.length; start += 8192) {
    binary += String.fromCharCode(...bytes.subarray(start, start + 8192));
  }
  return btoa(binary);
};

/** The text of a note, and the name, the key's id (8 digits) and the bytes of each signature. Throws `InvalidNote`. */
export const parseNote = (note) => {
  const blank = note.lastIndexOf("\n\n");
  if (blank < 1 || !note.endsWith("\n") || CONTROL.test(note)) throw new InvalidNote("it is not a signed note");
  const signatures = note.slice(blank + 2, -1).split("\n").map(parseSignature);
  return { text: note.slice(0, blank + 1), signatures };
};

const parseSignature = (line) => {
  const found = SIGNATURE_LINE.exec(line);
  if (!found) throw new InvalidNote("one of its lines is not a signature");
  const bytes = decodeBase64(found[2]);
  return { name: found[1], keyId: toHex(bytes.subarray(0, 4)), bytes: bytes.subarray(4) };
};

/** What the text of a note says of the ledger: `size` is text, since it can be larger than a double holds. */
export const parseCheckpoint = (text) => {
  const [origin, size, root] = text.split("\n");
  if (!origin || !SIZE.test(size ?? "") || root === undefined) throw new InvalidNote("it is not a checkpoint");
  const hash = decodeBase64(root);
  if (hash.length !== 32) throw new InvalidNote("its root is not a hash");
  return { origin, size, root: hash };
};

/** A verifier key, `NAME+ID+BASE64`. Throws `InvalidNote`, also for an id that is not that of the key. */
export const parseKey = async (text) => {
  const found = KEY.exec(text);
  if (!found) throw new InvalidNote("the key does not have the form NAME+ID+KEY");
  const [, name, id, encoded] = found;
  const key = decodeBase64(encoded);
  const digest = await sha256(concat(utf8.encode(`${name}\n`), key));
  if (toHex(digest.subarray(0, 4)) !== id) throw new InvalidNote("the id in the key is not the id of this key");
  return { name, id, kind: key[0], public: key.subarray(1) };
};

/** Whether a key has signed a note: `valid`, `wrong`, `missing`, or `unsupported` where the browser cannot tell. */
export const verifyNote = async ({ text, signatures }, key) => {
  const found = signatures.filter(({ name, keyId }) => name === key.name && keyId === key.id);
  if (!found.length) return "missing";
  if (key.kind !== ED25519) return "unsupported";
  try {
    const imported = await crypto.subtle.importKey("raw", key.public, "Ed25519", false, ["verify"]);
    for (const { bytes } of found) {
      if (!(await crypto.subtle.verify("Ed25519", imported, bytes, utf8.encode(text)))) return "wrong";
    }
  } catch (error) {
    return error.name === "NotSupportedError" ? "unsupported" : "wrong";
  }
  return "valid";
};

/** When a witness says it has signed, as seconds since 1970 (https://c2sp.org/tlog-cosignature), or null. */
export const cosignedAt = ({ bytes }) => {
  if (bytes.length !== COSIGNATURE_BYTES - 4) return null;
  return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0));
};
