"""The queries and answers of the aggregates: histogram, facets, values."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from src.audits.constants import MAX_ID_LENGTH
from src.audits.schemas import AuditFilter
from src.schemas import TEXT_PATTERN, CustomModel, example

DEFAULT_BUCKETS, MAX_BUCKETS = 60, 120
MAX_FACETS = 10
MAX_SUGGESTIONS = 20

Relation = Literal["eq", "approx"]
_RELATION = "`eq`: exact. `approx`: an estimate."


class AuditField(StrEnum):
    """The fields of records that can be summed up and suggested."""

    ACTION = "action"
    ENTITY_TYPE = "entity_type"
    ENTITY_ID = "entity_id"
    ACTOR_TYPE = "actor_type"
    ACTOR_ID = "actor_id"
    STATUS = "status"


class HistogramQuery(AuditFilter):
    buckets: int = Field(
        DEFAULT_BUCKETS,
        ge=1,
        le=MAX_BUCKETS,
        description="How many: all equally long, and fewer only where they would be shorter than a microsecond.",
    )


class HistogramBucket(CustomModel):
    from_: AwareDatetime = Field(alias="from", description="Records of this time or later are in it.")
    to: AwareDatetime = Field(description="Records of before this time are in it.")
    count: int
    failures: int = Field(description="How many of them have the status `failure`.")
    relation: Relation = Field(description=_RELATION)


class Histogram(CustomModel):
    """How many records match, by time."""

    model_config = example(
        {
            "from": "2026-01-31T12:00:00Z",
            "to": "2026-01-31T12:02:00Z",
            "relation": "eq",
            "buckets": [
                {
                    "from": "2026-01-31T12:00:00Z",
                    "to": "2026-01-31T12:01:00Z",
                    "count": 12,
                    "failures": 1,
                    "relation": "eq",
                },
                {
                    "from": "2026-01-31T12:01:00Z",
                    "to": "2026-01-31T12:02:00Z",
                    "count": 7,
                    "failures": 0,
                    "relation": "eq",
                },
            ],
        }
    )

    from_: AwareDatetime | None = Field(
        alias="from", description="Where the first bucket begins; null where there is none."
    )
    to: AwareDatetime | None = Field(description="Where the last bucket ends; null where there is none.")
    relation: Relation = Field(description="`approx` where that of any bucket is.")
    buckets: list[HistogramBucket] = Field(
        description="In the order of time, without gaps. None where nothing matches, unless the filter says from when "
        "to when."
    )


class FacetsQuery(AuditFilter):
    field: AuditField = Field(description="Whose values are counted.")


class FacetValue(CustomModel):
    value: str
    count: int


class Facets(CustomModel):
    """The commonest values of a field."""

    model_config = example(
        {
            "field": "action",
            "values": [{"value": "invoice.update", "count": 12}, {"value": "user.login", "count": 7}],
            "relation": "eq",
            "sampled": 19,
        }
    )

    field: AuditField
    values: list[FacetValue] = Field(description=f"At most {MAX_FACETS}, the commonest first.")
    relation: Relation = Field(description=f"{_RELATION} Then each `count` is scaled to all records that match.")
    sampled: int = Field(description="How many matching records were counted: all, or those in a sample.")


class ValuesQuery(CustomModel):
    field: AuditField
    prefix: Annotated[str, StringConstraints(max_length=MAX_ID_LENGTH, pattern=TEXT_PATTERN)] = Field(
        "", description="How they begin. Every character stands for itself, and case counts."
    )


class Values(CustomModel):
    """Values of a field, to complete what somebody types."""

    model_config = example({"field": "action", "values": ["invoice.create", "invoice.update"]})

    field: AuditField
    values: list[str] = Field(description=f"The first {MAX_SUGGESTIONS} in the order of their bytes.")
