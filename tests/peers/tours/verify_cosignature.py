"""tlog-scales and proofbundle verify a cosignature, of a witness or of the log itself: FILE KEY COSIGNER_KEY."""

import sys
from pathlib import Path

from proofbundle.checkpoint import verify_checkpoint, verify_cosignature
from tlog_scales.signing import Vkey, VkeySet
from tlog_scales.tlog import Checkpoint


def main() -> None:
    note, key, cosigner = Path(sys.argv[1]).read_text(), sys.argv[2], sys.argv[3]
    for result in (verify_checkpoint(note, key), verify_cosignature(note, cosigner)):
        assert (result["ok"], result["origin"]) == (True, key.partition("+")[0]), result
    checkpoint = Checkpoint.from_text(note)
    keys = VkeySet(Vkey.from_string(key), Vkey.from_string(cosigner))
    assert len(keys.verify(checkpoint.signatures, checkpoint)) == 2
    print(f"cosigned {checkpoint.size}")


if __name__ == "__main__":
    main()
