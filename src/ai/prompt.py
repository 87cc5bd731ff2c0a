"""A prompt: all that the provider is sent for one answer."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from src.ai.constants import DEFAULT_OUTPUT_TOKENS, ReasoningEffort


@dataclass(frozen=True)
class OutputFormat:
    """The JSON Schema of the answer, limited to what strict structured output supports.

    https://platform.openai.com/docs/guides/structured-outputs
    """

    name: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Prompt:
    """`version` identifies the wording of the instructions. Without `output_format` the answer is text."""

    version: str
    model: str
    input: str
    instructions: str | None = None
    max_output_tokens: int = DEFAULT_OUTPUT_TOKENS
    temperature: float | None = None
    reasoning_effort: ReasoningEffort | None = None
    output_format: OutputFormat | None = None

    @property
    def characters(self) -> int:
        return len(self.input) + len(self.instructions or "")

    @property
    def sha256(self) -> str:
        """The hash of `instructions` and `input`, in hexadecimal digits."""
        return hashlib.sha256(f"{self.instructions or ''}\0{self.input}".encode()).hexdigest()
