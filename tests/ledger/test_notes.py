"""Notes and keys are those of Go's `golang.org/x/mod/sumdb/note`; whatever is changed in a note is noticed."""

import base64

import pytest

from src.ledger.checkpoints import Checkpoint, format_proof
from src.ledger.merkle import EMPTY_ROOT
from src.ledger.notes import InvalidKey, InvalidNote, SignerKey, VerifierKey, open_note, sign_note

# The example in the documentation of Go's package.
SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
NOTE = f"{TEXT}\n\u2014 PeterNeumann {SIGNATURE}\n"
KEY = VerifierKey.parse(VERIFIER)


# The examples of https://c2sp.org/tlog-checkpoint and https://c2sp.org/signed-note. The documents show no keys.
CHECKPOINT = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
"""  # noqa: E501
POEM = """Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=
"""  # noqa: E501


@pytest.mark.parametrize("note", [CHECKPOINT, POEM])
def test_signatures_of_unknown_keys_are_passed_over_in_the_notes_of_the_specifications(note: str) -> None:
    key = SignerKey.generate("audit.example.org/trail")
    with pytest.raises(InvalidNote, match="none of the known keys"):
        open_note(note, [key.verifier])
    text = note[: note.rindex("\n\n") + 1]
    assert open_note(note + key.sign(text), [key.verifier]) == text


def test_the_checkpoint_of_the_specification_is_read_and_written() -> None:
    root = bytes.fromhex("0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62")
    text = CHECKPOINT[: CHECKPOINT.rindex("\n\n") + 1]
    assert Checkpoint.parse(text) == Checkpoint("example.com/behind-the-sofa", 20852163, root)
    assert str(Checkpoint.parse(text)) == text


def test_keys_and_notes_are_those_of_go() -> None:
    signer = SignerKey.parse(SIGNER)
    assert (str(signer.verifier), signer.secret) == (VERIFIER, SIGNER)
    assert sign_note(TEXT, [signer]) == NOTE
    assert open_note(NOTE, [KEY]) == TEXT


def test_a_new_key_signs_what_its_verifier_accepts_beside_other_signatures() -> None:
    key = SignerKey.generate("audit.example.org/trail")
    assert SignerKey.parse(key.secret) == key
    note = sign_note(TEXT, [SignerKey.parse(SIGNER), key])
    assert open_note(note, [key.verifier]) == open_note(note, [KEY]) == TEXT
    assert key.secret not in repr(key)
    assert key.seed.hex() not in repr(key)


def test_whatever_bit_is_changed_in_a_note_is_noticed() -> None:
    raw = NOTE.encode()
    for position in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[position] ^= 1 << bit
            try:
                text = changed.decode()
            except UnicodeDecodeError:
                continue
            with pytest.raises(InvalidNote):
                open_note(text, [KEY])


@pytest.mark.parametrize(
    "note", ["", "\n", TEXT, f"{TEXT}\n", NOTE.rstrip("\n"), f"{NOTE}\n", NOTE.replace("\u2014 ", "- ")]
)
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(InvalidNote):
        open_note(note, [KEY])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        VERIFIER.replace("c74f20a3", "c74f20a4"),
        VERIFIER.replace("Peter", "Pater"),
        VERIFIER.replace("ARpc", "ARpd"),
        VERIFIER.replace("ARpc", "AXpc"),
        VERIFIER[:-4],
        VERIFIER + "\n",
        VERIFIER.replace("PeterNeumann", "Peter Neumann"),
        SIGNER,
    ],
)
def test_what_is_no_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidKey) as raised:
        VerifierKey.parse(text)
    with pytest.raises(InvalidKey):
        SignerKey.parse(text.replace("PRIVATE", "private"))
    assert "ARpc" not in str(raised.value)


def test_a_checkpoint_is_the_text_of_a_note() -> None:
    checkpoint = Checkpoint("audit.example.org/trail", 0, EMPTY_ROOT)
    text = "audit.example.org/trail\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    assert str(checkpoint) == text
    assert Checkpoint.parse(text) == Checkpoint.parse(f"{text}more\n") == checkpoint


@pytest.mark.parametrize("size", ["", "00", "-1", "+1", "1 ", "0x1", "1e3", "10000000000000000000", "\u0661"])
def test_a_checkpoint_with_another_size_is_refused(size: str) -> None:
    with pytest.raises(InvalidNote):
        Checkpoint.parse(f"origin\n{size}\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")


@pytest.mark.parametrize("root", ["", "47DEQpj8HBSa", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=", "4" * 44])
def test_a_checkpoint_without_a_root_is_refused(root: str) -> None:
    with pytest.raises(InvalidNote):
        Checkpoint.parse(f"origin\n0\n{root}\n")


def test_a_proof_is_a_file_that_ends_with_its_checkpoint() -> None:
    hashes = [bytes([number]) * 32 for number in range(2)]
    lines = ["index 7", *(base64.b64encode(each).decode() for each in hashes), "", NOTE]
    assert format_proof(7, hashes, NOTE, None) == "\n".join(["c2sp.org/tlog-proof@v1", *lines])
    assert format_proof(7, hashes, NOTE, b"{}") == "\n".join(["c2sp.org/tlog-proof@v1", "extra e30=", *lines])
