"""Asks a witness (https://c2sp.org/tlog-witness) to sign a checkpoint.

It is imported when the first witness is asked: httpx2 takes a tenth of the start.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx2

from src.ledger import storage, witnesses
from src.ledger.constants import WitnessState
from src.ledger.cosignatures import encode_request, find_cosignature, parse_size
from src.ledger.merkle import consistency_proof
from src.ledger.notes import InvalidNote
from src.ledger.witnesses import DEADLINE_SECONDS, MAX_QUESTIONS, Answer, Question

_MAX_ANSWER_BYTES = 65_536


class WitnessClient:
    """Asks a witness until it has an answer."""

    def __init__(self) -> None:
        self._client = httpx2.AsyncClient(timeout=DEADLINE_SECONDS, follow_redirects=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(self, question: Question, transactions: Any, origin: str) -> Answer:
        old = question.old
        for _ in range(MAX_QUESTIONS):
            async with transactions() as connection:
                proof = await storage.fetch_hashes(connection, consistency_proof(old, question.size))
            try:
                status, body = await _send(self._client, question, old, proof)
            except (httpx2.HTTPError, TimeoutError) as error:
                return Answer(WitnessState.UNAVAILABLE, detail=type(error).__name__)
            if status != 409:
                return _read_answer(question, status, body)
            async with transactions() as connection:
                ours = await witnesses.signed_size(connection, origin)
            found = _read_conflict(question, old, body, ours)
            if isinstance(found, Answer):
                return found
            old = found
        return Answer(WitnessState.REFUSED, detail="names another size each time")


async def _send(client: httpx2.AsyncClient, question: Question, old: int, proof: Sequence[bytes]) -> tuple[int, bytes]:
    """Ask once. Returns the status and the body. Raises `httpx2.HTTPError`, `TimeoutError`."""
    body = encode_request(old, proof, question.note)
    url = f"{question.witness.url}/add-checkpoint"
    async with asyncio.timeout(DEADLINE_SECONDS), client.stream("POST", url, content=body) as response:
        answer = b""
        async for chunk in response.aiter_bytes():
            answer += chunk
            if len(answer) > _MAX_ANSWER_BYTES:
                raise httpx2.DecodingError("the answer is too long")
        return response.status_code, answer


def _read_answer(question: Question, status: int, body: bytes) -> Answer:
    """What an answer means that is not a 409 with another size."""
    if status == 422:
        return Answer(WitnessState.FORKED, detail="knows a tree that ours does not continue")
    if status != 200:
        state = WitnessState.UNAVAILABLE if status >= 500 or status == 429 else WitnessState.REFUSED
        return Answer(state, detail=f"answers {status}")
    try:
        line = find_cosignature(body, question.note, question.witness.key)
    except InvalidNote as error:
        return Answer(WitnessState.REFUSED, detail=f"its answer {error}")
    return Answer(WitnessState.OK, question.size, line)


def _read_conflict(question: Question, old: int, body: bytes, ours: int) -> Answer | int:
    """What a 409 means: an answer, or the size from which to ask again. `ours` is the size that was signed last."""
    known = parse_size(body)
    if known is None:
        return Answer(WitnessState.REFUSED, detail="answers 409 without a size")
    if known > ours:
        return Answer(WitnessState.FORKED, known, detail=f"knows {known} entries, and {ours} were signed here")
    if known == old == question.size:
        return Answer(WitnessState.FORKED, known, detail=f"knows another tree of {known} entries")
    if known > question.size:
        # Another process has been faster.
        return Answer(WitnessState.OK, known)
    return Answer(WitnessState.REFUSED, detail=f"answers 409 to the size {old} that it has") if known == old else known
