"""Settings of the ledger domain."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from src.config import EnvironmentSettings
from src.ledger.cosignatures import MlDsaSignerKey, Witness
from src.ledger.notes import InvalidKey, SignerKey, VerifierKey

# A host, perhaps a port, and segments of a path, as a URL without its scheme.
_ORIGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?(/[A-Za-z0-9._~-]+)*")
MAX_ORIGIN_LENGTH = 255


def check_origin(origin: str) -> str:
    """Raises `ValueError`."""
    if len(origin) > MAX_ORIGIN_LENGTH or not _ORIGIN.fullmatch(origin):
        raise ValueError("must be a URL without its scheme, such as audit.example.org/trail")
    return origin


class LedgerSettings(EnvironmentSettings):
    """How often the ledger is sealed, and as whom it signs. Without a key nothing is signed, and all else works."""

    ledger_interval: float = Field(1, ge=0.05, le=3600)
    """Seconds from one look for new revisions to the next."""

    ledger_origin: str | None = None
    """The name of the ledger in all that it signs. It never changes."""

    ledger_key: SecretStr | None = None
    """An Ed25519 key in the format of Go's signer keys, `PRIVATE+KEY+...`, whose name is the origin."""

    ledger_mldsa_key: SecretStr | None = None
    """An ML-DSA-44 key in the same format, whose name is the origin: it signs beside `ledger_key`."""

    ledger_old_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Keys of either kind that sign too, while verifiers change to the new one."""

    ledger_witnesses: Annotated[tuple[str, ...], NoDecode] = ()
    """`URL VKEY` of each witness: where it takes checkpoints (https://c2sp.org/tlog-witness), and its verifier key."""

    ledger_quorum: int | None = Field(None, ge=1)
    """How many witnesses are to sign a checkpoint before it is published; all, if not set."""

    verify_parts: int = Field(30, ge=1, le=100_000)
    """`make verify SINCE=FILE` reads one part in `verify_parts` of what is older, each day the next."""

    @field_validator("ledger_origin")
    @classmethod
    def validate_origin(cls, value: str | None) -> str | None:
        return None if value is None else check_origin(value)

    @field_validator("ledger_old_keys", "ledger_witnesses", mode="before")
    @classmethod
    def split_at_commas(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @field_validator("ledger_witnesses")
    @classmethod
    def validate_witnesses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        keys = [str(Witness.parse(witness).key) for witness in value]
        if len({*keys}) < len(keys):
            raise ValueError("must be different witnesses")
        return value

    @field_validator("ledger_key")
    @classmethod
    def validate_key(cls, value: SecretStr | None) -> SecretStr | None:
        _parse_keys([value], SignerKey)
        return value

    @field_validator("ledger_mldsa_key")
    @classmethod
    def validate_mldsa_key(cls, value: SecretStr | None) -> SecretStr | None:
        _parse_keys([value], MlDsaSignerKey)
        return value

    @field_validator("ledger_old_keys")
    @classmethod
    def validate_old_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        _parse_keys(value, SignerKey, MlDsaSignerKey)
        return value

    @model_validator(mode="after")
    def names_agree(self) -> Self:
        if not self.signers:
            return self
        if self.ledger_key is None:
            raise ValueError("LEDGER_MLDSA_KEY and LEDGER_OLD_KEYS need LEDGER_KEY, the key that every verifier reads")
        if any(key.name != self.ledger_origin for key in self.signers):
            raise ValueError("LEDGER_ORIGIN must be the name of LEDGER_KEY, LEDGER_MLDSA_KEY and LEDGER_OLD_KEYS")
        return self

    @model_validator(mode="after")
    def witnesses_can_sign(self) -> Self:
        if self.ledger_witnesses and self.ledger_key is None:
            raise ValueError("LEDGER_WITNESSES need LEDGER_KEY: they sign what it has signed")
        if self.ledger_quorum is not None and self.ledger_quorum > len(self.ledger_witnesses):
            raise ValueError("LEDGER_QUORUM must be at most the number of LEDGER_WITNESSES")
        return self

    @cached_property
    def witnesses(self) -> tuple[Witness, ...]:
        return tuple(map(Witness.parse, self.ledger_witnesses))

    @property
    def quorum(self) -> int:
        """How many witnesses are to sign."""
        return len(self.ledger_witnesses) if self.ledger_quorum is None else self.ledger_quorum

    @cached_property
    def signers(self) -> list[SignerKey]:
        """The keys that sign: the new ones first, and that of Ed25519 before that of ML-DSA-44."""
        return [
            *_parse_keys([self.ledger_key], SignerKey),
            *_parse_keys([self.ledger_mldsa_key], MlDsaSignerKey),
            *_parse_keys(self.ledger_old_keys, SignerKey, MlDsaSignerKey),
        ]

    @property
    def signed_origin(self) -> str | None:
        """The origin as which the ledger is signed; None without a key."""
        return self.ledger_origin if self.ledger_key else None

    @cached_property
    def verifiers(self) -> list[VerifierKey]:
        return [key.verifier for key in self.signers]


def _parse_keys(values: Iterable[SecretStr | None], *kinds: type[SignerKey]) -> list[SignerKey]:
    """The keys, each of one of these kinds. Raises `ValueError`."""
    return [_parse_key(value.get_secret_value(), kinds) for value in values if value]


def _parse_key(text: str, kinds: Sequence[type[SignerKey]]) -> SignerKey:
    reasons = []
    for kind in kinds:
        try:
            return kind.parse(text)
        except InvalidKey as error:
            reasons.append(str(error))
    raise ValueError(f"{' or '.join(dict.fromkeys(reasons))}: `make ledger-key` makes one")
