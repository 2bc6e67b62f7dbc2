"""The same key: the same answer for the same request, and a refusal for another one."""

from __future__ import annotations

import pytest

from gateway import idempotency
from gateway.idempotency import Idempotency
from gateway.problems import Problem


async def ask(kept: Idempotency, caller: str, key: str | None, digest: bytes, answer: bytes) -> tuple[bytes, bool]:
    """The answer given, and whether it was found."""
    async with kept.once(caller, key, digest) as once:
        if once.answer is not None:
            return once.answer, True
        once.answer = answer
        return answer, False


async def test_the_first_answer_is_given_again_to_the_same_caller() -> None:
    kept = Idempotency()
    assert await ask(kept, "a", "k", b"1", b"first") == (b"first", False)
    assert await ask(kept, "a", "k", b"1", b"second") == (b"first", True)
    assert await ask(kept, "b", "k", b"1", b"its own") == (b"its own", False)
    assert await ask(kept, "a", None, b"1", b"without a key") == (b"without a key", False)


async def test_another_request_with_the_key_is_refused() -> None:
    kept = Idempotency()
    await ask(kept, "a", "k", b"1", b"first")
    with pytest.raises(Problem) as refused:
        await ask(kept, "a", "k", b"2", b"second")
    assert (refused.value.status, refused.value.code) == (422, "key_reused")


async def test_a_key_at_work_is_told_so_and_one_that_failed_is_free_again() -> None:
    kept = Idempotency()
    with pytest.raises(ZeroDivisionError):
        async with kept.once("a", "k", b"1"):
            with pytest.raises(Problem) as refused:
                await ask(kept, "a", "k", b"1", b"second")
            raise ZeroDivisionError
    assert (refused.value.status, refused.value.headers) == (409, {"Retry-After": "1"})
    assert await ask(kept, "a", "k", b"1", b"third") == (b"third", False)


async def test_old_answers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "KEPT", 2)
    kept = Idempotency()
    for key in "abc":
        await ask(kept, "x", key, b"1", key.encode())
    assert await ask(kept, "x", "c", b"1", b"new") == (b"c", True)
    assert await ask(kept, "x", "a", b"1", b"new") == (b"new", False)
