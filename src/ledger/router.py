"""The endpoints of the ledger domain. Each reads the request, calls the service once and writes the response."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse

from src.audits.constants import MEDIA_TYPES, ExportFormat
from src.ledger import service
from src.ledger.changes import Piece
from src.ledger.constants import PATH
from src.ledger.dependencies import (
    FollowersDep,
    LastEventId,
    SettingsDep,
    TileLevelDep,
    TilePathDep,
)
from src.ledger.exceptions import LedgerUnsigned, NotSealed, RevisionNotFound, TileNotFound
from src.ledger.schemas import (
    EXAMPLE_NOTE,
    ChangesExportQuery,
    ChangesPage,
    ChangesQuery,
    ChangesStreamQuery,
    Consistency,
    ConsistencyQuery,
    LedgerStatus,
    Proof,
    ProofQuery,
)
from src.web import openapi, problems
from src.web.dependencies import AutocommitDep, IfNoneMatch, SnapshotDep, cacheable, list_header
from src.web.negotiation import prefers
from src.web.responses import ShapedJSON
from src.web.routes import StrictJSONRoute
from src.web.waiting import EventStream, leave_place, while_connected

_UNAVAILABLE = problems.documented(*problems.DATABASE_ERRORS)

router = APIRouter(prefix=PATH, tags=["ledger"], route_class=StrictJSONRoute, responses=_UNAVAILABLE)
tile_router = APIRouter(prefix=f"{PATH}/tile", tags=["ledger"], route_class=StrictJSONRoute, responses=_UNAVAILABLE)
"""The router for tiles, which programs fetch by the hundred: their number at once has a limit of its own."""

_TEXT = "text/plain"
_JSON = "application/json"
_TILE = "application/octet-stream"
_FOR_EVER = "public, max-age=31536000, immutable"
_VARY = {"vary": "Accept"}


def _describe(media_type: str, example: str, *errors: type[Any]) -> dict[int | str, dict[str, Any]]:
    described = openapi.describe(*errors)
    described[200]["content"] = {media_type: {"schema": {"type": "string"}, "example": example}}
    return described


def _describe_cacheable(media_type: str, example: str, *errors: type[Any]) -> dict[int | str, dict[str, Any]]:
    described = _describe(media_type, example, *errors)
    described[200]["headers"] = openapi.header("ETag", "A digest of the content.")
    return described | openapi.NOT_MODIFIED


_HASHES = _describe_cacheable(_TILE, "32 bytes for each hash", TileNotFound)
_BUNDLE = _describe_cacheable(_TILE, "entries, each behind its length in two bytes", TileNotFound)
_CHECKPOINT = _describe_cacheable(_TEXT, EXAMPLE_NOTE, LedgerUnsigned)
_EXPORTED = _describe(MEDIA_TYPES[ExportFormat.NDJSON], '{"index":0,"operation":"create"}\n')
_STREAMED = _describe(EventStream.media_type, 'id: 0\nevent: change\ndata: {"index":0,"operation":"create"}\n\n')
_PROOF = openapi.describe(RevisionNotFound, NotSealed)
_PROOF[200]["content"] = {_TEXT: {"schema": {"type": "string"}, "example": f"...\n\n{EXAMPLE_NOTE}"}}


@router.get("", summary="Read the ledger's status", responses=openapi.describe())
async def read_ledger(connection: AutocommitDep, settings: SettingsDep) -> LedgerStatus:
    """How far the ledger is, with which keys it signs, and whether revisions wait."""
    return await service.get_status(connection, settings)


@router.get("/checkpoint", summary="Read the latest checkpoint", response_class=Response, responses=_CHECKPOINT)
async def read_checkpoint(
    connection: AutocommitDep, settings: SettingsDep, request: Request, if_none_match: IfNoneMatch = None
) -> Response:
    """A signed note (https://c2sp.org/tlog-checkpoint): the size and the root of the ledger."""
    note = await service.get_checkpoint(connection, settings)
    return cacheable(request, note.encode(), _TEXT, "no-cache")


@router.get("/changes", summary="Follow every change", response_model=ChangesPage, responses=openapi.describe())
async def list_changes(
    query: Annotated[ChangesQuery, Query()], connection: AutocommitDep, followers: FollowersDep, request: Request
) -> Response:
    """Every revision of every record, in the order of the ledger: creations, changes and removals.

    Ask again with `after` set to `next_after`, for ever. Who follows the ledger so sees each change exactly once,
    within seconds of its commit, in whatever order others commit theirs. With `wait` an answer comes as soon as there
    is something.
    """
    if not query.wait:
        return ShapedJSON(await service.get_changes(connection, query))
    leave_place(request)
    return ShapedJSON(await while_connected(request, service.wait_for_changes(followers, query)))


@router.get(
    "/changes/stream",
    summary="Follow every change as a stream",
    # With EventSourceResponse, FastAPI expects a generator.
    response_class=StreamingResponse,
    responses=_STREAMED,
    response_model=None,
)
async def stream_changes(
    query: Annotated[ChangesStreamQuery, Query()],
    followers: FollowersDep,
    request: Request,
    last_event_id: LastEventId = None,
) -> EventStream:
    """Server-sent events without an end: `event` is `change`, `id` the index, `data` an item of `GET /changes`.

    A client that comes again with the last `id` misses nothing and gets nothing twice. An `id` without data says how
    far a stream with filters has looked. A comment comes every 15 seconds at least.
    """
    leave_place(request)
    wanted = query if last_event_id is None else query.model_copy(update={"after": last_event_id})
    pieces = await service.stream_changes(followers, wanted)
    return EventStream(_encode_events(pieces, -1 if wanted.after is None else wanted.after))


async def _encode_events(pieces: AsyncGenerator[Piece], sent: int) -> AsyncGenerator[bytes]:
    # At once: some clients and proxies show an answer only when it has a body.
    yield format_sse_event(comment="changes")
    async for piece in pieces:
        if piece.lines:
            yield b"".join(map(_encode_event, piece.indexes, piece.lines))
            sent = piece.indexes[-1]
        else:
            # An id without data moves a client on, and is no event to it.
            yield format_sse_event(id=str(piece.last) if piece.last > sent else None, comment="heartbeat")
            sent = piece.last


def _encode_event(index: int, line: bytes) -> bytes:
    return format_sse_event(id=str(index), event="change", data_str=line.decode())


@router.get(
    "/changes/export",
    summary="Export changes",
    response_class=StreamingResponse,
    responses=_EXPORTED,
    response_model=None,
)
async def export_changes(
    query: Annotated[ChangesExportQuery, Query()], connection: AutocommitDep, snapshot: SnapshotDep
) -> StreamingResponse:
    """Streams changes as NDJSON, to the end that the ledger has now. Follow `GET /changes` behind the last index."""
    return StreamingResponse(
        await service.export_changes(connection, snapshot, query),
        media_type=MEDIA_TYPES[ExportFormat.NDJSON],
        headers={"Content-Disposition": 'attachment; filename="changes.ndjson"'},
    )


@router.get("/consistency", summary="Prove that the ledger has only grown", responses=openapi.describe())
async def read_consistency(
    query: Annotated[ConsistencyQuery, Query()], connection: AutocommitDep, settings: SettingsDep
) -> Consistency:
    """The hashes that lead from an older root to a newer one (RFC 9162, 2.1.4)."""
    return await service.get_consistency(connection, settings, query.from_, query.to)


@router.get(
    "/proofs/{audit_id:uuid}", summary="Prove that a revision is in the ledger", response_model=Proof, responses=_PROOF
)
async def read_proof(
    audit_id: Annotated[UUID, Path(description="The id of the record, which may be removed.")],
    query: Annotated[ProofQuery, Query()],
    connection: AutocommitDep,
    settings: SettingsDep,
    request: Request,
) -> Response:
    """The revision with its salt, its entry, and the hashes that lead from it to the root.

    With an `Accept` that prefers `text/plain` to JSON, the answer is a file (https://c2sp.org/tlog-proof), which
    verifiers take as it is.
    """
    found = await service.get_proof(connection, settings, audit_id, query.version)
    if not prefers(list_header(request, "Accept"), _TEXT, _JSON):
        return ShapedJSON(found.json.encode(), headers=_VARY)
    proof = found.value
    if proof.tlog_proof is None:
        raise LedgerUnsigned(settings.signed_origin)
    name = f"{audit_id}.{proof.version}.tlog-proof"
    headers = _VARY | {"content-disposition": f'attachment; filename="{name}"'}
    return Response(proof.tlog_proof, media_type=_TEXT, headers=headers)


@tile_router.get("/entries/{path:path}", summary="Read a bundle of entries", response_class=Response, responses=_BUNDLE)
async def read_bundle(
    path: TilePathDep,
    connection: AutocommitDep,
    settings: SettingsDep,
    request: Request,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Up to 256 entries (https://c2sp.org/tlog-tiles), compressed for whoever takes gzip. They never change."""
    bundle = await service.get_bundle(connection, settings, path)
    return cacheable(request, bundle, _TILE, _FOR_EVER, is_compressed=True)


@tile_router.get("/{level}/{path:path}", summary="Read a tile of the tree", response_class=Response, responses=_HASHES)
async def read_tile(
    level: TileLevelDep,
    path: TilePathDep,
    connection: AutocommitDep,
    settings: SettingsDep,
    request: Request,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Up to 256 hashes of one level (https://c2sp.org/tlog-tiles). They never change."""
    return cacheable(request, await service.get_tile(connection, settings, level, path), _TILE, _FOR_EVER)
