"""Settings of the ledger are checked at the start, and secrets are not shown."""

import json

import pytest
from pydantic import ValidationError

from src.ledger.config import LedgerSettings
from src.ledger.cosignatures import MlDsaSignerKey
from src.ledger.notes import SignerKey
from tests import programs
from tests.ledger.conftest import KEY, MLDSA_KEY, ORIGIN

OTHER = SignerKey("other.example.org", bytes(32))


@pytest.mark.parametrize("origin", [ORIGIN, "audit.example.org", "localhost:8000/api/v1/ledger", "a/b-c_d.e~f"])
def test_an_origin_is_a_url_without_its_scheme(origin: str) -> None:
    assert LedgerSettings.model_validate({"ledger_origin": origin}).ledger_origin == origin


@pytest.mark.parametrize(
    "values",
    [
        {"ledger_origin": "https://audit.example.org"},
        {"ledger_origin": "audit.example.org/"},
        {"ledger_origin": "audit example"},
        {"ledger_origin": "a" * 256},
        {"ledger_key": KEY.secret},
        {"ledger_key": KEY.secret, "ledger_origin": "other.example.org"},
        {"ledger_key": KEY.secret, "ledger_origin": ORIGIN, "ledger_old_keys": OTHER.secret},
        {"ledger_origin": ORIGIN, "ledger_old_keys": KEY.secret},
        {"ledger_key": KEY.secret[:-5], "ledger_origin": ORIGIN},
        {"ledger_key": str(KEY.verifier), "ledger_origin": ORIGIN},
        {"ledger_key": MLDSA_KEY.secret, "ledger_origin": ORIGIN},
        {"ledger_mldsa_key": MLDSA_KEY.secret, "ledger_origin": ORIGIN},
        {"ledger_key": KEY.secret, "ledger_origin": ORIGIN, "ledger_mldsa_key": KEY.secret},
        {"ledger_key": KEY.secret, "ledger_origin": ORIGIN, "ledger_mldsa_key": MLDSA_KEY.secret[:-5]},
        {"ledger_key": KEY.secret, "ledger_origin": ORIGIN, "ledger_mldsa_key": MlDsaSignerKey("x", bytes(32)).secret},
        {"ledger_interval": 0},
    ],
)
def test_what_cannot_work_is_refused_and_no_key_is_shown(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as raised:
        LedgerSettings.model_validate(values)
    assert KEY.secret[-20:-5] not in str(raised.value)
    assert MLDSA_KEY.secret[-20:-5] not in str(raised.value)


def test_an_ml_dsa_key_and_old_keys_of_either_kind_sign_too() -> None:
    old = [SignerKey(ORIGIN, bytes([1]) * 32), MlDsaSignerKey(ORIGIN, bytes([2]) * 32)]
    settings = LedgerSettings.model_validate(
        {
            "ledger_origin": ORIGIN,
            "ledger_key": KEY.secret,
            "ledger_mldsa_key": MLDSA_KEY.secret,
            "ledger_old_keys": ",".join(key.secret for key in old),
        }
    )
    assert settings.signers == [KEY, MLDSA_KEY, *old]


async def test_a_process_without_a_key_does_not_import_cryptography() -> None:
    started = json.loads((await programs.run("tests.imported")).stdout)
    assert {"src.ledger.sealer", "src.ledger.router"} <= set(started["modules"])
    assert "cryptography" not in started["modules"]
