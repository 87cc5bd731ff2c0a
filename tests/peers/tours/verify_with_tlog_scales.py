"""tlog-scales reads the ledger's tiles and checks notes, entries and proofs: its own proofs and the ledger's."""

import sys
from pathlib import Path

from ledger_files import Saved, must_be_refused, read_saved
from tlog_scales.backend import make_backend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tiles import leaf_hash
from tlog_scales.tlog import Checkpoint, ConsistencyProof, InclusionProof


def main() -> None:
    url, key, folder = sys.argv[1], Vkey.from_string(sys.argv[2]), Path(sys.argv[3])
    latest = TilesReader(make_backend(url)).get_checkpoint()
    latest.verify(key)
    checked = 0
    for saved in read_saved(folder):
        checkpoint = Checkpoint.from_text(saved.note)
        checkpoint.verify(key)
        assert checkpoint.size == saved.size
        checked += check(saved, checkpoint, TilesReader(make_backend(url)))
    assert latest == checkpoint
    print(f"checked {checked}")


def check(saved: Saved, checkpoint: Checkpoint, reader: TilesReader) -> int:
    reader.set_size(saved.size)
    assert reader.calculate_root_hash() == checkpoint.root_hash
    for proof in saved.proofs:
        leaf = leaf_hash(proof.entry)
        assert reader.get_entry(proof.index) == proof.entry
        assert reader.get_inclusion_proof(proof.index, saved.size).node_hashes == proof.hashes
        InclusionProof(proof.index, saved.size, proof.hashes).check(leaf, checkpoint.root_hash)
        other = leaf_hash(proof.entry + b" ")
        must_be_refused(InclusionProof(proof.index, saved.size, proof.hashes).check, other, checkpoint.root_hash)
    for step in saved.steps:
        assert reader.get_consistency_proof(step.old_size, saved.size).node_hashes == step.hashes
        ours = ConsistencyProof(step.old_size, saved.size, step.hashes)
        ours.check(step.old_root, checkpoint.root_hash)
        must_be_refused(ours.check, leaf_hash(b""), checkpoint.root_hash)
    return len(saved.proofs) + len(saved.steps)


if __name__ == "__main__":
    main()
