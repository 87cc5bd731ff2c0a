import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "../../../src/web/explorer/json.js";
import { hashFromHex, hashLeaf, rootFromPath, toHex } from "../../../src/web/explorer/merkle.js";
import { cosignedAt, InvalidNote, parseCheckpoint, parseKey, parseNote, verifyNote } from "../../../src/web/explorer/notes.js";
import { checkProof } from "../../../src/web/explorer/proofs.js";
import { vectors } from "./vectors.js";

const { note, key, other_key, mldsa_key, proof, shown } = vectors;
const results = (steps) => Object.fromEntries(steps.map(({ name, result }) => [name, result]));
const recompute = (changes = {}, keys = [key]) => {
  const answered = { ...parse(proof), ...changes };
  return checkProof({ proof: answered, shown: parse(shown), audit_id: vectors.audit_id, keys });
};
const HOLDS = {
  Revision: "holds",
  Entry: "holds",
  "Path to the root": "holds",
  "Signature of the checkpoint": "holds",
  "File for download": "holds",
};

test("the hash of a leaf is that of the ledger", async () => {
  for (const { entry, hash } of vectors.leaves) assert.equal(toHex(await hashLeaf(new TextEncoder().encode(entry))), hash);
});

test("each inclusion proof leads to its root, and to no other place", async () => {
  for (const { leaf, index, size, hashes, root } of vectors.inclusion) {
    const path = hashes.map(hashFromHex);
    const from = async (...place) => toHex((await rootFromPath(hashFromHex(leaf), ...place)) ?? []);
    assert.equal(await from(index, size, path), root);
    assert.notEqual(await from(index, size, [...path, hashFromHex(leaf)]), root);
    if (path.length) assert.notEqual(await from(index, size, path.slice(1)), root);
    if (size > 1) assert.notEqual(await from((index + 1) % size, size, path), root);
    assert.equal(await from(size, size, path), "");
  }
});

test("places beyond 2^32 are halved without loss", async () => {
  const { leaf, index, size, hashes, root } = vectors.deep;
  assert.equal(toHex(await rootFromPath(hashFromHex(leaf), index, size, hashes.map(hashFromHex))), root);
});

test("a note says what the ledger signed", async () => {
  const parsed = parseNote(note);
  const checkpoint = parseCheckpoint(parsed.text);
  assert.deepEqual([checkpoint.origin, checkpoint.size], [vectors.origin, String(vectors.size)]);
  assert.equal(await verifyNote(parsed, await parseKey(key)), "valid");
  assert.equal(await verifyNote(parsed, await parseKey(other_key)), "missing");
  assert.equal(await verifyNote({ ...parsed, text: `${parsed.text}more\n` }, await parseKey(key)), "wrong");
  assert.equal(await verifyNote(parseNote(vectors.signed_twice), await parseKey(key)), "valid");
  assert.equal(await verifyNote(parseNote(vectors.signed_twice), await parseKey(mldsa_key)), "unsupported");
  assert.equal(cosignedAt(parseNote(vectors.cosigned).signatures.at(-1)), vectors.cosigned_at);
  assert.equal(cosignedAt(parsed.signatures[0]), null);
});

test("what is no note or no key is refused", async () => {
  const lines = note.split("\n");
  for (const text of ["", "\n\n", note.slice(0, -1), note.replace("\n\n", "\n"), note.replace("\u2014", "-"), `${note}\n`, note.replace("\n", "\r\n")]) {
    assert.throws(() => parseNote(text), InvalidNote, text);
  }
  for (const text of [`${lines[0]}\n01\n${lines[2]}\n`, `${lines[0]}\n1\nAAAA\n`, `${lines[0]}\n1\n`, "\n"]) {
    assert.throws(() => parseCheckpoint(text), InvalidNote, text);
  }
  for (const text of ["", key.slice(0, -4), key.replace("+", " "), key.replace(/\+[0-9a-f]{8}\+/, "+00000000+")]) {
    await assert.rejects(parseKey(text), InvalidNote, text);
  }
});

test("a proof holds from what is shown to the signature", async () => {
  assert.deepEqual(results(await recompute()), HOLDS);
});

test("what was changed on the way does not hold", async () => {
  const answered = parse(proof);
  const [first] = answered.hashes;
  const forged = answered.checkpoint.at(-20) === "A" ? "B" : "A";
  const swapped = [...answered.hashes.slice(1), first];
  const record = { ...answered.document.record, action: "another" };
  const broken = {
    Revision: [{ document: { ...answered.document, salt: "00" } }, { document: { ...answered.document, record } }],
    Entry: [{ entry: answered.entry.replace('"version":1', '"version":2') }, { entry: answered.entry.replace("{", "{ ") }],
    "Path to the root": [{ hashes: swapped }, { hashes: [] }, { index: answered.index + 1 }, { root: first }, { size: answered.size + 1 }],
    "Signature of the checkpoint": [{ checkpoint: `${answered.checkpoint.slice(0, -20)}${forged}${answered.checkpoint.slice(-19)}` }],
    "File for download": [{ tlog_proof: `${answered.tlog_proof} ` }],
  };
  for (const [name, changes] of Object.entries(broken)) {
    for (const change of changes) assert.equal(results(await recompute(change))[name], "fails", JSON.stringify(change));
  }
});

test("a revision that the page shows otherwise than the proof does not hold", async () => {
  const other = { version: 2, operation: "delete", changed_by: "u-2", reason: "", previous_hash: "00", record: {}, hash: "00" };
  for (const [name, value] of Object.entries(other)) {
    const steps = await checkProof({
      proof: parse(proof),
      shown: { ...parse(shown), [name]: value },
      audit_id: vectors.audit_id,
      keys: [key],
    });
    assert.ok(steps.some(({ result }) => result === "fails"), name);
  }
  const steps = await checkProof({ proof: parse(proof), shown: parse(shown), audit_id: vectors.other_id, keys: [key] });
  assert.deepEqual([results(steps).Revision, results(steps).Entry], ["fails", "fails"]);
});

test("what cannot be checked is said, and is no success", async () => {
  assert.equal(results(await recompute({ document: null })).Revision, "unchecked");
  const unsigned = results(await recompute({ checkpoint: null, tlog_proof: null }, []));
  assert.deepEqual(unsigned, { Revision: "holds", Entry: "holds", "Path to the root": "holds", "Signature of the checkpoint": "unchecked" });
  assert.equal(results(await recompute({ checkpoint: null, tlog_proof: null }))["Signature of the checkpoint"], "fails");
  assert.equal(results(await recompute({}, []))["Signature of the checkpoint"], "unchecked");
  assert.equal(results(await recompute({}, [other_key]))["Signature of the checkpoint"], "fails");
  assert.equal(results(await recompute({}, ["no key"]))["Signature of the checkpoint"], "fails");
  assert.equal(results(await recompute({}, [key.replace("audit.", "other.")]))["Signature of the checkpoint"], "fails");
  const both = (await recompute({}, [key, other_key])).filter(({ name }) => name === "Signature of the checkpoint");
  assert.deepEqual(both.map(({ result }) => result), ["holds", "unchecked"]);
});

test("an answer that is no proof does not hold", async () => {
  for (const changes of [{ hashes: null }, { hashes: ["x"] }, { entry: "x", document: null }, { checkpoint: "x" }, { document: undefined }]) {
    const steps = await recompute(changes);
    assert.ok(steps.some(({ result }) => result === "fails"), JSON.stringify(changes));
  }
});
