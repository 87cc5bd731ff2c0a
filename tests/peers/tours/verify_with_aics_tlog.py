"""aics-tlog audits every tile and entry over HTTP, and checks notes, inclusion and consistency."""

import sys
from pathlib import Path

from aics_tlog import (
    HttpTileReader,
    VerifiedTileReader,
    audit_tiles,
    consistency_proof_from_tiles,
    inclusion_proof_from_tiles,
    parse_note,
    parse_vkey,
    verify_checkpoint,
    verify_consistency,
    verify_leaf_inclusion,
)
from ledger_files import Saved, must_be_refused, read_saved


def main() -> None:
    url, key, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    reader = HttpTileReader(url)
    checked = 0
    for saved in read_saved(folder):
        result = verify_checkpoint(parse_note(saved.note), parse_vkey(key))
        assert (result.ok, result.size) == (True, saved.size), result
        checked += check(saved, result.root, VerifiedTileReader(reader, saved.size, result.root))
        report = audit_tiles(reader, saved.size, result.root)
        assert report.size == saved.size, report
    assert reader.read_checkpoint().decode() == saved.note
    assert reader.stats["errors"] == reader.stats["not_found"] == 0, reader.stats
    print(f"checked {checked}")


def check(saved: Saved, root: bytes, reader: VerifiedTileReader) -> int:
    for proof in saved.proofs:
        assert reader.entry(proof.index) == proof.entry
        assert inclusion_proof_from_tiles(reader, proof.index, saved.size) == proof.hashes
        assert verify_leaf_inclusion(proof.entry, proof.index, saved.size, proof.hashes, root)
        must_be_refused(verify_leaf_inclusion, proof.entry + b" ", proof.index, saved.size, proof.hashes, root)
    for step in saved.steps:
        assert consistency_proof_from_tiles(reader, step.old_size, saved.size) == step.hashes
        assert verify_consistency(step.old_size, saved.size, step.old_root, root, step.hashes)
        must_be_refused(verify_consistency, step.old_size, saved.size, bytes(32), root, step.hashes)
    return len(saved.proofs) + len(saved.steps)


if __name__ == "__main__":
    main()
