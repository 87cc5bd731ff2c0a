"""proofbundle verifies `.tlog-proof` files as they are, notes, and consistency."""

import sys
from pathlib import Path

from ledger_files import Saved, must_be_refused, read_saved
from proofbundle.checkpoint import verify_checkpoint
from proofbundle.merkle import verify_consistency
from proofbundle.tlogproof import parse_tlog_proof, verify_tlog_proof


def main() -> None:
    key, folder = sys.argv[2], Path(sys.argv[3])
    print(f"checked {sum(check(saved, key) for saved in read_saved(folder))}")


def check(saved: Saved, key: str) -> int:
    checkpoint = verify_checkpoint(saved.note, key)
    assert (checkpoint["ok"], checkpoint["tree_size"]) == (True, saved.size), checkpoint
    root, origin = checkpoint["root"], key.partition("+")[0]
    for proof in saved.proofs:
        result = verify_tlog_proof(proof.text, proof.entry, key, expected_origin=origin)
        assert (result["ok"], result["index"], result["root"]) == (True, proof.index, root), result
        assert (parse_tlog_proof(proof.text)["extra"] or b"").startswith(b'{"audit_id":"')
        assert not verify_tlog_proof(proof.text, proof.entry + b" ", key)["ok"]
    for step in saved.steps:
        heads = (step.old_size, saved.size, step.hashes)
        assert verify_consistency(*heads, step.old_root, root)
        must_be_refused(verify_consistency, *heads, bytes(32), root)
    return len(saved.proofs) + len(saved.steps)


if __name__ == "__main__":
    main()
