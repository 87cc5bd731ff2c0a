"""The answers and queries of the ledger API. Hashes are in small hexadecimal digits."""

from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AwareDatetime, BeforeValidator, Field, SkipValidation, StringConstraints, model_validator

from src.audits.constants import FIRST_VERSION, MAX_TEXT_LENGTH, MAX_VERSION, Operation
from src.audits.field_types import Id, NameFilter, as_list
from src.audits.schemas import EXAMPLE_RECORD, Audit
from src.ledger.constants import MAX_WAIT_SECONDS, LedgerState, WitnessState
from src.pagination import DEFAULT_LIMIT, MAX_LIMIT, Order
from src.schemas import TEXT_PATTERN, CustomModel, UTCDateTime, example

# The largest number that JSON carries unchanged to every reader (RFC 8259, 6).
MAX_SIZE = 2**53 - 1
_HASH = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
_AUDIT_ID = "019c1400-7c3d-7e4f-8a5b-6c7d8e9f0a1b"
_KEY = "audit.example.org/trail+8cb5f157+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
_CHECKPOINT = "audit.example.org/trail\n1\nX3C/GKCGAHAW6UiwSu07ghA6Nr6kF1W2zd+vEKzjxu8=\n"
EXAMPLE_NOTE = f"{_CHECKPOINT}\n\u2014 audit.example.org/trail jLXxV...\n"
_TLOG_PROOF = f"c2sp.org/tlog-proof@v1\nindex 0\n\n{EXAMPLE_NOTE}"
_DOCUMENT = {
    "salt": "000102030405060708090a0b0c0d0e0f",
    "previous_hash": None,
    "audit_id": _AUDIT_ID,
    "version": 1,
    "operation": "create",
    "changed_at": "2026-01-31T12:00:00.250000Z",
    "changed_by": "u-17",
    "reason": None,
    "record": {"id": _AUDIT_ID, "action": "invoice.update"},
}


class LastCheckpoint(CustomModel):
    size: int
    created_at: AwareDatetime
    cosignatures: int = Field(description="How many of the witnesses have signed it.")


class WitnessStatus(CustomModel):
    name: str
    url: str
    last_size: int = Field(description="The size of the checkpoint that it has seen last.")
    state: WitnessState = Field(
        description="`waiting`: not asked yet. `unavailable`: no answer. `refused`: it does not sign. `forked`: it "
        "knows a larger or another tree."
    )


class LedgerStatus(CustomModel):
    model_config = example(
        {
            "state": "ok",
            "origin": "audit.example.org/trail",
            "size": 1,
            "root": _HASH,
            "signed": True,
            "keys": [_KEY],
            "last_checkpoint": {"size": 1, "created_at": "2026-01-31T12:00:01Z", "cosignatures": 1},
            "oldest_unsealed_seconds": None,
            "witnesses": [
                {"name": "witness.example.org", "url": "https://witness.example.org", "last_size": 1, "state": "ok"}
            ],
            "quorum": 1,
        }
    )

    state: LedgerState = Field(
        description="`behind`: revisions wait longer than usual. `cloned`: the database is a copy, and signs nothing. "
        "`forked`: a witness knows a larger or another tree, and nothing is signed."
    )
    origin: str | None
    size: int = Field(description="How many entries are published: sealed, and signed where there is a key.")
    root: str = Field(description="The root of their Merkle tree.")
    signed: bool = Field(description="Whether there are checkpoints.")
    keys: list[str] = Field(description="Verifier keys, as signed notes write them.")
    last_checkpoint: LastCheckpoint | None
    oldest_unsealed_seconds: float | None = Field(
        description="The age of the oldest revision that is not sealed yet; null if all are."
    )
    witnesses: list[WitnessStatus]
    quorum: int = Field(description="How many witnesses are to sign a checkpoint before it is published.")


class ConsistencyQuery(CustomModel):
    from_: int = Field(alias="from", ge=0, le=MAX_SIZE, description="The size of the older ledger.")
    to: int | None = Field(None, ge=0, le=MAX_SIZE, description="The size of the newer one; what was published last.")


class Consistency(CustomModel):
    """A consistency proof of RFC 9162 (2.1.4)."""

    model_config = example({"from": 1, "to": 2, "from_root": _HASH, "to_root": _HASH, "hashes": [_HASH]})

    from_: int = Field(alias="from")
    to: int
    from_root: str
    to_root: str
    hashes: list[str]


class ProofQuery(CustomModel):
    version: int | None = Field(None, ge=FIRST_VERSION, le=MAX_VERSION, description="The newest one, if left out.")


class ProofDocument(CustomModel):
    """What the revision's hash is computed over: SHA-256 of it as canonical JSON (RFC 8785)."""

    salt: str
    previous_hash: str | None
    audit_id: UUID
    version: int
    operation: Operation
    changed_at: str
    changed_by: str | None
    reason: str | None
    record: dict[str, Any]


class Proof(CustomModel):
    """That a revision is in the ledger: an inclusion proof of RFC 9162 (2.1.3)."""

    model_config = example(
        {
            "audit_id": _AUDIT_ID,
            "version": 1,
            "index": 0,
            "size": 1,
            "root": _HASH,
            "hashes": [],
            "entry": f'{{"audit_id":"{_AUDIT_ID}","hash":"{_HASH}","operation":"create","version":1}}',
            "document": _DOCUMENT,
            "checkpoint": EXAMPLE_NOTE,
            "tlog_proof": _TLOG_PROOF,
        }
    )

    audit_id: UUID
    version: int
    index: int = Field(description="The place of the entry, from 0.")
    size: int
    root: str
    hashes: list[str] = Field(description="From the sibling of the leaf upwards.")
    entry: str = Field(description="The exact bytes; the hash of the leaf is SHA-256 of a zero byte and these.")
    document: ProofDocument | None
    checkpoint: str | None = Field(description="A signed note (c2sp.org/tlog-checkpoint); null without a key.")
    tlog_proof: str | None = Field(description="All of it as one file (c2sp.org/tlog-proof); null without a key.")


_EXAMPLE_CHANGE = {
    "index": 0,
    "audit_id": EXAMPLE_RECORD["id"],
    "version": 1,
    "operation": "create",
    "changed_at": "2026-01-31T12:00:00.250000Z",
    "changed_by": "u-17",
    "reason": None,
    "record": EXAMPLE_RECORD,
    "hash": _HASH,
}


class ChangeFilter(CustomModel):
    """Selects the changes that match every filter; a filter with several values matches any of them."""

    after: int | None = Field(
        None, ge=-1, le=MAX_SIZE, description="The changes behind this index: `next_after` of the page before."
    )
    operation: Annotated[list[Operation], BeforeValidator(as_list)] = Field(default=[])
    action: Annotated[list[NameFilter], BeforeValidator(as_list)] = Field(
        default=[], description="A name, or a prefix such as `invoice.*`."
    )
    entity_type: Annotated[list[NameFilter], BeforeValidator(as_list)] = Field(
        default=[], description="A name, or a prefix such as `Microsoft.*`."
    )
    entity_id: Annotated[list[Id], BeforeValidator(as_list)] = Field(default=[])
    actor_id: Annotated[list[Id], BeforeValidator(as_list)] = Field(default=[])
    changed_by: (
        Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH, pattern=TEXT_PATTERN)] | None
    ) = Field(None, description="`X-Actor-Id` of the change.")
    changed_from: UTCDateTime | None = Field(None, description="At this time or later.")
    changed_to: UTCDateTime | None = Field(None, description="Before this time.")


class ChangesQuery(ChangeFilter):
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    order: Order = Field(Order.ASC, description="`asc`: oldest first, to follow the ledger. `desc`: the latest first.")
    wait: float = Field(
        0,
        ge=0,
        le=MAX_WAIT_SECONDS,
        description="Where there is nothing, wait up to so many seconds for a change that matches.",
    )

    @model_validator(mode="after")
    def check_wait(self) -> Self:
        if self.wait and self.order is Order.DESC:
            raise ValueError("wait follows the ledger, which needs order=asc")
        return self


class ChangesStreamQuery(ChangeFilter):
    """Selects what is streamed, without an end."""


class ChangesExportQuery(ChangeFilter):
    """Selects what is exported, to the end of the ledger."""


class Change(CustomModel):
    """A revision, and its place in the ledger."""

    index: int
    audit_id: UUID
    version: int
    operation: Operation
    changed_at: AwareDatetime
    changed_by: str | None
    reason: str | None
    # Not validated: a record that another release has written must not stop those who follow the ledger.
    record: Annotated[Audit | None, SkipValidation] = Field(
        description="The record after the change; of a deletion, its last state; null where it was redacted."
    )
    hash: str


class ChangesPage(CustomModel):
    model_config = example({"items": [_EXAMPLE_CHANGE], "limit": 20, "next_after": 0, "size": 1})

    items: list[Change]
    limit: int
    next_after: int = Field(
        description="For the next page, also at the end: the index that was looked at last. With filters a page can "
        "be empty before the end, which is where `next_after` is `size` - 1."
    )
    size: int = Field(description="How many changes the ledger has.")
