"""The bodies of batches, and the answers to them."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, TypeAdapter, ValidationError, model_validator

from src.audits.constants import MAX_BATCH_ITEMS, PATH
from src.audits.schemas import EXAMPLE_BODY, EXAMPLE_RECORD, Audit, AuditCreate
from src.batches import SeparateItems
from src.exceptions import AppError, ValidationFailed
from src.schemas import CustomModel, Problem, example

_EXAMPLE_PROBLEM = {
    "type": "urn:problem-type:validation-error",
    "title": "The request is not valid",
    "status": 422,
    "detail": "1 value is not valid; see errors.",
    "instance": f"{PATH}/batch",
    "code": "validation-error",
    "request_id": "0197a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b",
    "errors": [{"loc": ["body", "action"], "msg": "Field required", "type": "missing"}],
}

_create = TypeAdapter(AuditCreate)


class _SentItems(CustomModel):
    items: list[Any] = Field(min_length=1, max_length=MAX_BATCH_ITEMS)


class AuditBatch(CustomModel):
    model_config = example({"items": [EXAMPLE_BODY]})

    items: list[AuditCreate] = Field(min_length=1, max_length=MAX_BATCH_ITEMS)

    _refused: dict[int, AppError] = PrivateAttr(default_factory=dict)

    @property
    def refused(self) -> Mapping[int, AppError]:
        """What refuses items of a partial batch, by their index in it; all others are `items`."""
        return self._refused

    @model_validator(mode="wrap")
    @classmethod
    def validate_separate_items(cls, value: Any, handler: "ModelWrapValidatorHandler[AuditBatch]") -> "AuditBatch":
        """Of a partial batch, take the items that are valid."""
        if not isinstance(value, SeparateItems):
            return handler(value)
        items: list[AuditCreate] = []
        refused: dict[int, AppError] = {}
        for index, item in enumerate(_SentItems(items=[*value.items]).items):
            if isinstance(item, AppError):
                refused[index] = item
                continue
            try:
                items.append(_create.validate_python(item, from_attributes=True))
            except ValidationError as error:
                refused[index] = ValidationFailed.of(error.errors(include_url=False), ("body",))
        batch = cls.model_construct(items=items)
        batch._refused |= refused  # noqa: SLF001 (its own)
        return batch


class AuditBatchCreated(CustomModel):
    model_config = example({"items": [EXAMPLE_RECORD], "count": 1, "created": 1})

    items: list[Audit] = Field(
        description="In the order in which they were sent. An event that was recorded before: its record as created."
    )
    count: int
    created: int = Field(description="How many of them this request created.")


class AuditBatchRecorded(CustomModel):
    """An item of a partial batch that is recorded."""

    status: Literal[200, 201] = Field(description="As `POST /audits` would answer.")
    created: bool = Field(description="Whether the record is new; if not, the event was recorded before.")
    record: Audit


class AuditBatchRefused(CustomModel):
    """An item of a partial batch that is refused."""

    status: int = Field(description="As `POST /audits` would answer: 400, 409 or 422.")
    problem: Problem = Field(description="As `POST /audits` would answer; locations are within the item.")


class AuditBatchOutcomes(CustomModel):
    """What became of each item of a partial batch."""

    model_config = example(
        {
            "items": [
                {"status": 201, "created": True, "record": EXAMPLE_RECORD},
                {"status": 422, "problem": _EXAMPLE_PROBLEM},
            ],
            "count": 2,
            "created": 1,
            "refused": 1,
        }
    )

    items: list[AuditBatchRecorded | AuditBatchRefused] = Field(description="In the order in which they were sent.")
    count: int = Field(description="How many items were sent.")
    created: int = Field(description="How many records are new.")
    refused: int = Field(description="How many items have a problem.")
