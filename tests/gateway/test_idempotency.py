"""The same key: the same answer for the same request, whatever process is asked; and a refusal for another request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from carepact.local.platform import LocalPlatform
from carepact.local.postgres import READER
from gateway import idempotency
from gateway.idempotency import Idempotency
from gateway.problems import Problem

pytestmark = pytest.mark.platform
Make = Callable[[], Idempotency]


@pytest_asyncio.fixture
async def made(platform: LocalPlatform, space: str, fresh_database: str) -> AsyncIterator[Make]:
    """Makes what a gateway has, as a restarted one has it too; with the right of the gateway's role."""
    dsn, settings = platform.dsn(READER, space), {"default_transaction_read_only": "off"}
    async with asyncpg.create_pool(dsn, min_size=0, max_size=3, server_settings=settings) as pool:

        @asynccontextmanager
        async def connected() -> AsyncIterator[Any]:
            async with pool.acquire() as connection:
                yield connection

        yield lambda: Idempotency(connected, lambda: b"k" * 32)


async def ask(kept: Idempotency, caller: str, key: str | None, asked: bytes, answer: bytes) -> tuple[bytes, bool]:
    """The answer given, and whether it was found."""
    async with kept.once(caller, key, (asked,)) as once:
        if once.answer is not None:
            return once.answer, True
        once.answer = answer
    return once.answer, False


async def test_the_first_answer_is_given_again_to_the_same_caller_after_a_restart_too(made: Make) -> None:
    kept = made()
    assert await ask(kept, "a", "k", b"1", b"first") == (b"first", False)
    assert await ask(kept, "a", "k", b"1", b"second") == (b"first", True)
    assert await ask(made(), "a", "k", b"1", b"third") == (b"first", True)
    assert await ask(kept, "b", "k", b"1", b"its own") == (b"its own", False)
    assert await ask(kept, "a", None, b"1", b"without a key") == (b"without a key", False)


async def test_another_request_with_the_key_is_refused(made: Make) -> None:
    await ask(made(), "a", "k", b"1", b"first")
    with pytest.raises(Problem) as refused:
        await ask(made(), "a", "k", b"2", b"second")
    assert (refused.value.status, refused.value.code) == (422, "key_reused")


async def test_a_key_at_work_is_told_so_and_one_that_failed_is_free_again(made: Make) -> None:
    kept = made()
    with pytest.raises(ZeroDivisionError):
        async with kept.once("a", "k", (b"1",)):
            with pytest.raises(Problem) as refused:
                await ask(made(), "a", "k", b"1", b"second")
            with pytest.raises(Problem) as other:
                await ask(made(), "a", "k", b"2", b"second")
            raise ZeroDivisionError
    assert refused.value.status == 409 and 1 <= int(refused.value.headers["Retry-After"]) <= idempotency.CLAIM_SECONDS
    assert other.value.status == 422
    assert await ask(kept, "a", "k", b"1", b"third") == (b"third", False)


async def test_a_request_that_was_left_is_taken_up_and_both_get_the_first_answer(
    made: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "CLAIM_SECONDS", 0)
    async with made().once("a", "k", (b"1",)) as slow:
        assert await ask(made(), "a", "k", b"1", b"of the next") == (b"of the next", False)
        slow.answer = b"of the slow one"
    assert slow.answer == b"of the next"


async def test_a_key_is_free_when_its_time_has_passed_and_its_answer_is_deleted(
    made: Make, monkeypatch: pytest.MonkeyPatch, fresh_database: str
) -> None:
    monkeypatch.setattr(idempotency, "KEPT_HOURS", 0)
    monkeypatch.setattr(idempotency, "PURGE_SECONDS", -1.0)
    assert await ask(made(), "a", "k", b"1", b"first") == (b"first", False)
    assert await ask(made(), "a", "k", b"2", b"another") == (b"another", False)
    assert await ask(made(), "a", "other", b"3", b"third") == (b"third", False)
    owner = await asyncpg.connect(fresh_database)
    assert await owner.fetchval("SELECT count(*) FROM idempotency") == 1
    await owner.close()


async def test_neither_key_nor_request_stands_in_the_table(made: Make, fresh_database: str) -> None:
    await ask(made(), "payer:medicare", "1EG4-TE5-MK73", b"1EG4TE5MK73", b"an answer")
    owner = await asyncpg.connect(fresh_database)
    (row,) = await owner.fetch("SELECT * FROM idempotency")
    await owner.close()
    assert not any(b"TE5" in value for value in row.values() if isinstance(value, bytes))
    assert (len(row["key_digest"]), len(row["request_digest"])) == (32, 32)
