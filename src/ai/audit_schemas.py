"""Request and response bodies of `/ai/audits/query` and `/ai/audits/summary`."""

from typing import Literal

from pydantic import Field

from src.ai.constants import (
    DEFAULT_SUMMARY_RECORDS,
    MAX_FOCUS_LENGTH,
    MAX_QUESTION_LENGTH,
    MAX_SUMMARY_RECORDS,
)
from src.ai.schemas import EXAMPLE_META, EXAMPLE_USAGE, Meta, Usage
from src.audits.schemas import EXAMPLE_RECORD, Audit, AuditSelection
from src.pagination import DEFAULT_LIMIT, MAX_LIMIT
from src.schemas import CustomModel, example


class AuditQuestion(CustomModel):
    model_config = example({"question": "Which invoices did u-17 fail to update in January 2026?"})

    question: str = Field(min_length=1, max_length=MAX_QUESTION_LENGTH, description="In any language.")
    limit: int = Field(DEFAULT_LIMIT, strict=True, ge=1, le=MAX_LIMIT, description="How many records to answer with.")
    dry_run: bool = Field(False, strict=True, description="Only return the filter, and read no records.")


class AuditQuestionAnswer(CustomModel):
    model_config = example(
        {
            "filter": {"action": ["invoice.update"], "actor_id": ["u-17"], "status": ["failure"]},
            "url": "/api/v1/audits?action=invoice.update&actor_id=u-17&status=failure",
            "unsupported": [],
            "items": [EXAMPLE_RECORD | {"status": "failure"}],
            "total": 1,
            "total_relation": "eq",
            "model": "gpt-5.4-mini",
            "usage": EXAMPLE_USAGE,
            "meta": EXAMPLE_META | {"prompt_version": "audit-query-3"},
        }
    )

    filter: AuditSelection = Field(
        description="The conditions that the model made of the question, without those that cannot be used."
    )
    url: str = Field(description="The list of records with this filter.")
    unsupported: list[str] = Field(
        description=(
            "Parts of the question, in its own words, for which the filter has no condition; and fields that the model "
            "set to what cannot be used, or to what the question does not ask for."
        )
    )
    items: list[Audit] | None = Field(
        description="The newest records; null for a dry run, and if no condition was left of a question that has some."
    )
    total: int | None = Field(description="How many match, counted to 10,000; null where `items` is null.")
    total_relation: Literal["eq", "gte"] | None = Field(description="As in the list of records.")
    model: str = Field(description="The model that answered, as the provider names it.")
    usage: Usage
    meta: Meta


class SummaryRequest(CustomModel):
    model_config = example({"filter": {"entity_type": "invoice", "status": ["failure"]}, "focus": "Who is affected?"})

    filter: AuditSelection = Field(default_factory=AuditSelection, description="Which records; all, if left out.")
    max_records: int = Field(
        DEFAULT_SUMMARY_RECORDS,
        strict=True,
        ge=1,
        le=MAX_SUMMARY_RECORDS,
        description="How many of these records the model is shown. It gets the newest.",
    )
    focus: str | None = Field(
        None, min_length=1, max_length=MAX_FOCUS_LENGTH, description="What the summary is to concentrate on."
    )


class Finding(CustomModel):
    text: str
    record_ids: list[str] = Field(
        description="The records that support it: one or more of those that the model was shown."
    )


class Counts(CustomModel):
    """Counts of all records that match, from the database. Only the 100 most frequent actions are listed."""

    by_action: dict[str, int]
    by_status: dict[str, int]


class Summary(CustomModel):
    """What a model says about some records. It can be wrong, and it is not stored."""

    model_config = example(
        {
            "summary": "One invoice was raised from 100 to 120.",
            "findings": [
                {"text": "u-17 raised INV-2026-0042 by 20.", "record_ids": [EXAMPLE_RECORD["id"]]},
            ],
            "dropped_findings": 0,
            "records_considered": 1,
            "total": 1,
            "counts": {"by_action": {"invoice.update": 1}, "by_status": {"success": 1}},
            "generated_by": "ai",
            "model": "gpt-5.4-mini",
            "usage": EXAMPLE_USAGE,
            "meta": EXAMPLE_META | {"prompt_version": "audit-summary-2"},
        }
    )

    summary: str
    findings: list[Finding]
    dropped_findings: int = Field(
        description="How many findings were dropped, since they cited no record or one that the model was not shown."
    )
    records_considered: int = Field(description="How many records the model was shown.")
    total: int = Field(description="How many match.")
    counts: Counts
    generated_by: Literal["ai"]
    model: str = Field(description="The model that answered, as the provider names it.")
    usage: Usage
    meta: Meta
