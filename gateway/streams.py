"""`/v1/feed/stream`: the feed as server-sent events, for as long as the reader's credential opens it.

The id of each event is the cursor behind it, so `Last-Event-ID` goes on where a reader was cut off, and it may go on by
`/v1/feed` as well. What is held for a reader is one page and what its connection takes; one that takes nothing for
`SEND_SECONDS` is cut off and comes back by its cursor.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials
from sse_starlette import EventSourceResponse, ServerSentEvent

from gateway.cursors import PURPOSE, BadCursor, opened, sealed
from gateway.feeds import refused, tenant_of
from gateway.open_streams import SCOPE, Stream
from gateway.parts import Parts, parts_of
from gateway.principals import BEARER, Principal, needs
from gateway.problems import RESPONSES
from gateway.tails import STORE_ERRORS
from projections.feed import Emitted, OtherHistory, Page, Place
from projections.tenancy import Tenant

CHUNK_BYTES = 64_000
HEARTBEAT_SECONDS = 15
SEND_SECONDS = 30.0
RETRY = b"retry: 3000\n\n"
CURSOR_MAX = 1_000

logging.getLogger("sse_starlette").setLevel(logging.WARNING)  # below that it logs what it sends
router = APIRouter(tags=["feeds"], responses=RESPONSES)


@router.get(
    "/v1/feed/stream",
    response_class=EventSourceResponse,
    summary="Follow what is emitted to you",
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream_feed(
    caller: Annotated[Principal, Depends(needs(SCOPE))],
    sent: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    parts: Annotated[Parts, Depends(parts_of)],
    request: Request,
    after: Annotated[str | None, Query(max_length=CURSOR_MAX, description="a cursor; none: all")] = None,
    last_event_id: Annotated[
        str | None, Header(max_length=CURSOR_MAX, description="the id of the last event seen; goes before `after`")
    ] = None,
) -> Response:
    """Server-sent events: `data` is an event, `id` its cursor; `caught-up` says that nothing more is there now."""
    tenant = tenant_of(caller)
    parts.streams.room()
    key = await asyncio.to_thread(lambda: parts.doors.keys().platform_key(PURPOSE))
    cursor = last_event_id or after
    try:
        page = await parts.tails.read(tenant, None if cursor is None else opened(key, tenant, cursor))
    except (BadCursor, OtherHistory) as error:
        raise refused(error) from None
    stream = Stream(request.app.state.callers, sent.credentials if sent else "", caller)
    return EventSourceResponse(
        told(parts, stream, tenant, page, key),
        sep="\n",
        ping=HEARTBEAT_SECONDS,
        ping_message_factory=_heartbeat,
        send_timeout=SEND_SECONDS,
    )


async def told(parts: Parts, stream: Stream, tenant: Tenant, page: Page, key: bytes) -> AsyncIterator[bytes]:
    """The bytes of a stream that begins with a page. It ends when a store is away; its reader asks again."""
    with parts.streams.opened(stream), suppress(OtherHistory, *STORE_ERRORS):
        async with parts.tails.followed(tenant, stream.wake) as tail:
            yield RETRY
            marked = False
            while not stream.ended:
                for chunk in chunks(key, tenant, page.events):
                    yield chunk
                at = page.at
                if page.caught_up and (page.events or not marked):
                    yield _marker(key, tenant, at)
                    marked = True
                stream.wake.clear()
                behind = tail.page(at)
                if behind is not None and not behind.events and not stream.ended:
                    await stream.wake.wait()
                    behind = tail.page(at)
                page = behind if behind is not None else await parts.tails.read(tenant, at)
            yield b'event: closed\ndata: {"code":"%s"}\n\n' % stream.ended.encode()


def chunks(key: bytes, tenant: Tenant, events: Sequence[Emitted]) -> Iterator[bytes]:
    """Events as they are sent, some at a time."""
    held: list[bytes] = []
    size = 0
    for place, event in events:
        held.append(b"id: %s\ndata: %s\n\n" % (sealed(key, tenant, place).encode(), event.replace(b"\n", b"\ndata: ")))
        size += len(event)
        if size >= CHUNK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _marker(key: bytes, tenant: Tenant, place: Place) -> bytes:
    return b"event: caught-up\nid: %s\ndata: {}\n\n" % sealed(key, tenant, place).encode()


def _heartbeat() -> ServerSentEvent:
    return ServerSentEvent(comment="", sep="\n")
