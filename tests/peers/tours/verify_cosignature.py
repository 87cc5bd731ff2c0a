"""tlog-scales and proofbundle verify a checkpoint with a witness's cosignature: FILE KEY WITNESS_KEY."""

import sys
from pathlib import Path

from proofbundle.checkpoint import verify_witnessed_checkpoint
from tlog_scales.signing import Vkey, VkeySet
from tlog_scales.tlog import Checkpoint


def main() -> None:
    note, key, witness = Path(sys.argv[1]).read_text(), sys.argv[2], sys.argv[3]
    result = verify_witnessed_checkpoint(note, key, [witness], threshold=1, expected_origin=key.partition("+")[0])
    assert result["ok"], result
    checkpoint = Checkpoint.from_text(note)
    assert len(VkeySet(Vkey.from_string(key), Vkey.from_string(witness)).verify(checkpoint.signatures, checkpoint)) == 2
    print(f"witnessed {checkpoint.size}")


if __name__ == "__main__":
    main()
