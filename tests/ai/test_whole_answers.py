"""`done` of a stream and the body of a plain answer hold all that the model wrote, whatever the last event holds."""

from typing import Any

import httpx2
import pytest

from tests.ai.application import ask, assert_problem
from tests.ai.fake_provider import (
    BEGINS,
    COMPLETES,
    FakeProvider,
    Reply,
    Stream,
    answers,
    completes,
    event,
    message,
    piece,
    reply_json,
    response,
    text,
)
from tests.ai.streams import assert_error, names, read, stream

REFUSES = event("response.refusal.delta", delta="I cannot.")
USED_UP = {"input_tokens": 3, "output_tokens": 16, "total_tokens": 19}

WHOLE = {
    "no output": ([piece("An "), piece("answer."), completes(output=[])], "An answer."),
    "only reasoning": ([piece("An answer."), completes(output=[{"type": "reasoning"}])], "An answer."),
    "the last piece": ([piece("An "), piece("answer."), completes(output=[message(text("answer."))])], "An answer."),
    "an empty text": ([piece("An answer."), completes(output=[message(text(""))])], "An answer."),
    "without white space": ([piece(" An "), piece("answer. \n"), COMPLETES], " An answer. \n"),
    "more than the pieces": ([piece("An "), COMPLETES], "An answer."),
    "no pieces": ([COMPLETES], "An answer."),
}


@pytest.mark.parametrize(("events", "expected"), WHOLE.values(), ids=WHOLE)
async def test_the_last_event_may_hold_all_or_a_part_of_the_text(
    provider: FakeProvider, client: httpx2.AsyncClient, events: list[bytes], expected: str
) -> None:
    provider.replies(Stream([BEGINS, *events]))
    received = read(await stream(client))
    assert names(received)[-1] == "done"
    assert "".join(data["text"] for name, data in received if name == "delta") == expected
    assert received[-1][1]["output"]["text"] == expected
    assert received[-1][1]["status"] == "completed"
    assert (await ask(client)).json()["output"]["text"] == expected


@pytest.mark.parametrize(
    "events",
    [
        [piece("Something else."), COMPLETES],
        [piece("An answer. And more."), COMPLETES],
        [REFUSES, completes(output=[message({"type": "refusal", "refusal": "No."})])],
    ],
)
async def test_an_end_that_disagrees_with_the_pieces_is_an_error(
    provider: FakeProvider, client: httpx2.AsyncClient, events: list[bytes]
) -> None:
    provider.replies(Stream([BEGINS, *events]))
    assert_error(read(await stream(client)), 502, "ai-invalid-provider-response")
    assert_problem(await ask(client), 502, "ai-invalid-provider-response", retryable=False)


async def test_a_refusal_that_was_only_streamed_is_a_refusal(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    provider.replies(Stream([BEGINS, REFUSES, completes(output=[])]))
    for body in (read(await stream(client))[-1][1], (await ask(client)).json()):
        assert (body["status"], body["output"]["text"]) == ("refused", "I cannot.")


NO_TEXT: list[list[dict[str, Any]]] = [
    [],
    [{"type": "reasoning"}],
    [message()],
    [message({"type": "output_audio", "data": "x"})],
]


@pytest.mark.parametrize("output", NO_TEXT)
async def test_a_completed_answer_without_text_is_an_error(
    provider: FakeProvider, client: httpx2.AsyncClient, output: list[dict[str, Any]]
) -> None:
    provider.replies(answers(output=output))
    for answer in (await ask(client), await stream(client)):
        assert_problem(answer, 502, "ai-invalid-provider-response", retryable=False)
    provider.replies(Stream([BEGINS, completes(output=output)]))
    assert_problem(await ask(client), 502, "ai-invalid-provider-response", retryable=False)
    assert_error(read(await stream(client)), 502, "ai-invalid-provider-response")


async def test_an_empty_text_is_an_answer(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(answers(output=[message(text(""))]))
    assert (await ask(client)).json()["output"]["text"] == ""


@pytest.mark.parametrize("output_tokens", [16, 17])
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_an_answer_of_as_many_tokens_as_were_allowed_was_cut(
    provider: FakeProvider, client: httpx2.AsyncClient, output_tokens: int, is_streamed: bool
) -> None:
    usage = USED_UP | {"output_tokens": output_tokens}
    provider.replies(
        Stream([BEGINS, piece("An answer."), completes(usage=usage)]) if is_streamed else answers(usage=usage)
    )
    for body in (
        (await ask(client, max_output_tokens=16)).json(),
        read(await stream(client, max_output_tokens=16))[-1][1],
    ):
        assert (body["status"], body["finish_reason"]) == ("incomplete", "max_output_tokens")
        assert body["output"]["text"] == "An answer."


async def test_an_answer_of_fewer_tokens_than_were_allowed_is_complete(
    provider: FakeProvider, client: httpx2.AsyncClient
) -> None:
    provider.replies(answers(usage=USED_UP))
    assert (await ask(client, max_output_tokens=17)).json()["status"] == "completed"


ODD_PARTS: list[dict[str, Any]] = [{"type": "reasoning_text", "text": "Hm."}, {"type": "output_audio", "data": "x"}]


async def test_an_empty_id_and_unknown_parts_are_accepted(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    odd = {"id": "", "output": [message(*ODD_PARTS, text("An answer.")), {"type": "new", "content": "x"}]}
    provider.replies(answers(**odd), Stream([BEGINS, piece("An answer."), completes(**odd)]))
    for body in ((await ask(client)).json(), (await ask(client)).json()):
        assert (body["id"], body["status"], body["output"]["text"]) == ("", "completed", "An answer.")


WHOLE_BODIES = {
    "JSON": answers(),
    "JSON in pieces after white space": Reply(b" \n" + answers().body, pause_between_bytes=0.0001),
    "JSON after a byte order mark": Reply(b"\xef\xbb\xbf" + answers().body),
    "JSON in pieces after a byte order mark": Reply(b"\xef\xbb\xbf" + answers().body, pause_between_bytes=0.0001),
    "JSON that is called a stream": Reply(answers().body, headers={"Content-Type": "text/event-stream"}),
    "JSON, chunked": Stream([answers().body[:30], answers().body[30:]]),
}


@pytest.mark.parametrize("reply", WHOLE_BODIES.values(), ids=WHOLE_BODIES)
async def test_a_server_that_does_not_stream_is_understood(
    provider: FakeProvider, client: httpx2.AsyncClient, reply: Reply | Stream
) -> None:
    provider.replies(reply)
    assert (await ask(client)).json()["output"]["text"] == "An answer."
    events = read(await stream(client))
    assert names(events) == ["start", "delta", "done"]
    assert events[1][1] == {"seq": 0, "text": "An answer."}
    assert events[2][1]["output"]["text"] == "An answer."


async def test_a_stream_that_is_called_json_is_understood(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(Stream([BEGINS, piece("An answer."), COMPLETES], headers={"Content-Type": "application/json"}))
    assert (await ask(client)).json()["output"]["text"] == "An answer."


async def test_a_200_that_holds_only_an_error_is_that_error(provider: FakeProvider, client: httpx2.AsyncClient) -> None:
    provider.replies(reply_json({"error": {"code": "insufficient_quota", "message": "No."}}))
    assert_problem(await ask(client), 503, "ai-quota-exhausted", retryable=False)


@pytest.mark.parametrize("missing", [1, 2])
async def test_the_last_event_needs_no_blank_line(
    provider: FakeProvider, client: httpx2.AsyncClient, missing: int
) -> None:
    provider.replies(Stream([BEGINS, piece("An "), piece("answer."), COMPLETES[:-missing]]))
    assert names(read(await stream(client))) == ["start", "delta", "delta", "done"]
    provider.replies(Stream([BEGINS, piece("An ")[:-missing]]))
    events = read(await stream(client))
    assert names(events) == ["start", "delta", "error"]
    assert events[1][1]["text"] == "An "


async def test_a_stream_that_breaks_off_at_any_byte_gives_no_answer_and_no_other_text(
    provider: FakeProvider, impatient_client: httpx2.AsyncClient
) -> None:
    body = b"".join((BEGINS.partition(b"\n")[2], piece("Añ "), piece("answer."), event("response.completed")))
    for size in range(0, len(body) - 2, 3):
        provider.replies(Stream([body[:size]] if size else [], ends="cut short"))
        answer = await stream(impatient_client)
        if answer.status_code == 200:
            events = read(answer)
            assert_error(events, 503, "ai-provider-unavailable")
            assert "Añ answer.".startswith("".join(data["text"] for name, data in events if name == "delta"))
        else:
            assert_problem(answer, 503, "ai-provider-unavailable", retryable=True)


LINE_ENDS = [b"\n", b"\r\n", b"\r"]


@pytest.mark.parametrize("line_end", LINE_ENDS, ids=repr)
@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
async def test_events_may_have_any_line_ends_and_arrive_in_any_pieces(
    provider: FakeProvider, client: httpx2.AsyncClient, line_end: bytes, size: int
) -> None:
    data = response(output=[message(text("An answer."))])
    last = b'data: {"type": "response.completed",\ndata:"response": %s}\n\n' % reply_json(data).body
    body = (
        b"\xef\xbb\xbf"
        + BEGINS.partition(b"\n")[2]
        + b": hello\n\nid: 5\n"
        + piece("An ")
        + b"retry: 5\n\n\n"
        + piece("answer.")
        + last
    )
    body = body.replace(b"\n", line_end)
    provider.replies(Stream([body[start : start + size] for start in range(0, len(body), size)]))
    events = read(await stream(client))
    assert names(events) == ["start", "delta", "delta", "done"]
    assert events[-1][1]["output"]["text"] == "An answer."
