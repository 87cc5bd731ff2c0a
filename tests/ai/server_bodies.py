"""What servers of models really send, in `bodies/`: errors, ends of answers, and streams that broke off.

Seen in November 2026: llama.cpp's server (xllamacpp 2026.10.11549), LiteLLM 1.106.12 before it, and LiteLLM before a
server that broke off or failed in mid-stream. Written after their source: `vllm-context.json` (vLLM 0.32),
`vllm-context-of-2025*.json` and `llama-context-in-stream.sse`. In the streams only ids are shortened, and events left
out.
"""

from pathlib import Path

from tests.ai.fake_provider import Reply, Stream

_FOLDER = Path(__file__).parent / "bodies"


def sent(name: str, status: int = 400) -> Reply:
    """The answer with this status and the body of this name."""
    return Reply((_FOLDER / f"{name}.json").read_bytes(), status)


def streamed(name: str) -> Stream:
    """The stream of this name, event by event."""
    events = (_FOLDER / f"{name}.sse").read_bytes().split(b"\n\n")
    return Stream([event + b"\n\n" for event in events if event])
