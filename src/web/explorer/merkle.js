// Merkle trees as RFC 9162 defines them (2.1), with SHA-256 of the browser. Hashes are Uint8Array.

/** Whether this browser hashes here. It does not on a page that came over plain HTTP from another machine. */
export const canHash = () => Boolean(globalThis.crypto?.subtle);

export const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

export const concat = (...parts) => {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
};

export const hashLeaf = (entry) => sha256(concat([0], entry));

export const hashChildren = (left, right) => sha256(concat([1], left, right));

/**
 * The root that follows from a leaf and an inclusion proof (RFC 9162, 2.1.3.2), or null if the proof has not the length
 * that it must have. `index` and `size` are integers up to 2^53, so they are halved without bit operations.
 */
export const rootFromPath = async (leaf, index, size, path) => {
  if (!(index >= 0 && index < size)) return null;
  let [here, last, root] = [index, size - 1, leaf];
  for (const sibling of path) {
    if (last === 0) return null;
    if (here % 2 === 1 || here === last) {
      root = await hashChildren(sibling, root);
      while (here % 2 === 0 && here !== 0) [here, last] = [here / 2, Math.floor(last / 2)];
    } else {
      root = await hashChildren(root, sibling);
    }
    [here, last] = [Math.floor(here / 2), Math.floor(last / 2)];
  }
  return last === 0 ? root : null;
};

export const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The bytes of small hexadecimal digits, or null where the text is no hash. */
export const hashFromHex = (text) =>
  /^[0-9a-f]{64}$/.test(text) ? Uint8Array.from(text.match(/../g), (digits) => parseInt(digits, 16)) : null;
