"""Cosignatures are those of https://c2sp.org/tlog-cosignature; whatever is changed in one is noticed."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from src.ledger.checkpoints import Checkpoint
from src.ledger.cosignatures import CosignerKey, LogKey, MlDsaSignerKey, Witness, encode_checkpoint, encode_subtree
from src.ledger.merkle import EMPTY_ROOT
from src.ledger.notes import InvalidKey, InvalidNote, SignerKey, open_note, sign_note, split_note
from tests.ledger.conftest import KEY, MLDSA_KEY, ORIGIN

CHECKPOINT = Checkpoint(ORIGIN, 7, EMPTY_ROOT)
NOTE = sign_note(str(CHECKPOINT), [KEY, MLDSA_KEY])
VKEY = str(MLDSA_KEY.verifier)
# A key and its signature of a subtree, made by filippo.io/torchwood, from the tests of transparency-dev/formats.
TORCHWOOD = (Path(__file__).parent / "torchwood.txt").read_text()


def test_the_signature_of_another_implementation_is_accepted() -> None:
    vkey, line = TORCHWOOD.splitlines()
    key = CosignerKey.parse(vkey)
    _, [(name, key_id, signature)] = split_note(f"text\n\n{line}\n")
    assert (name, key_id, str(key)) == (key.name, key.id, vkey)
    root = base64.b64decode("E7ERCtFloiK1fdb+B6/dLG0pM1nmIR0ETKBSauCjtVw=")
    message = encode_subtree(key.name, 0, "example.com/log", 8, 13, root)
    MLDSA44PublicKey.from_public_bytes(key.public).verify(signature[8:], message)


def test_a_checkpoint_is_the_subtree_from_the_first_entry() -> None:
    assert encode_checkpoint("w", 258, replace(CHECKPOINT, origin="log")) == (
        b"subtree/v1\n\0\1w\0\0\0\0\0\0\1\2\3log" + bytes(8) + bytes(7) + b"\7" + EMPTY_ROOT
    )


def test_either_key_opens_a_checkpoint_that_both_have_signed() -> None:
    for keys in ([KEY.verifier], [MLDSA_KEY.verifier], [LogKey.parse(VKEY), LogKey.parse(str(KEY.verifier))]):
        assert open_note(NOTE, keys) == str(CHECKPOINT)
    other = MlDsaSignerKey.generate(ORIGIN)
    with pytest.raises(InvalidNote, match="none of the known keys"):
        open_note(NOTE, [other.verifier])
    assert MlDsaSignerKey.parse(other.secret) == other
    assert other.secret not in repr(other)
    assert other.seed.hex() not in repr(other)


def test_whatever_byte_is_changed_in_what_ml_dsa_signs_is_noticed() -> None:
    raw = sign_note(str(CHECKPOINT), [MLDSA_KEY]).encode()
    for position in [*range(150), *range(150, len(raw), 37), len(raw) - 2]:
        changed = bytearray(raw)
        changed[position] ^= 1
        try:
            text = changed.decode()
        except UnicodeDecodeError:
            continue
        with pytest.raises(InvalidNote):
            open_note(text, [MLDSA_KEY.verifier])


def test_what_is_no_checkpoint_and_what_is_no_time_is_not_signed() -> None:
    key = MLDSA_KEY.verifier
    signature = MLDSA_KEY.signature_of(str(CHECKPOINT))
    assert key.has_signed(str(CHECKPOINT), signature)
    assert not key.has_signed("no checkpoint\n", signature)
    assert not key.has_signed(str(replace(CHECKPOINT, origin="a" * 256)), signature)
    for time, accepted in ((0, True), (2**63 - 1, True), (2**63, False)):
        message = encode_checkpoint(ORIGIN, time, CHECKPOINT)
        signed = MLDSA44PrivateKey.from_seed_bytes(MLDSA_KEY.seed).sign(message)
        assert key.has_signed(str(CHECKPOINT), time.to_bytes(8) + signed) is accepted
    assert not any(key.has_signed(str(CHECKPOINT), signature[:size]) for size in (0, 7, 8, len(signature) - 1))
    with pytest.raises(InvalidNote):
        MLDSA_KEY.sign("no checkpoint\n")


def test_each_key_is_of_a_type_for_its_use() -> None:
    ed25519_witness = str(CosignerKey("w", KEY.verifier.public, 4))
    for vkey in (ed25519_witness, VKEY):
        assert str(Witness.parse(f"https://witness.example.org {vkey}").key) == vkey
    with pytest.raises(InvalidKey, match=r"Ed25519 \(type 4\) or ML-DSA-44 \(type 6\)"):
        Witness.parse(f"https://witness.example.org {KEY.verifier}")
    with pytest.raises(InvalidKey, match=r"Ed25519 \(type 1\) or ML-DSA-44 \(type 6\)"):
        LogKey.parse(ed25519_witness)
    with pytest.raises(InvalidKey, match="at most 255 bytes"):
        CosignerKey("w" * 256, MLDSA_KEY.verifier.public, 6)
    with pytest.raises(InvalidKey, match="type 1"):
        SignerKey.parse(MLDSA_KEY.secret)
