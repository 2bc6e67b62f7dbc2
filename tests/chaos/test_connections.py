"""A session that a stopped process finds broken is an interruption everywhere, never the end of a worker."""

from __future__ import annotations

import asyncpg
import pytest

from streams import relay, restarting
from streams.agents import is_transient


@pytest.mark.parametrize("error", [asyncpg.InterfaceError("closed"), asyncpg.InternalClientError("out of step")])
def test_a_session_out_of_step_is_opened_again(error: Exception) -> None:
    assert is_transient(error)
    assert isinstance(error, relay.TRANSIENT)
    assert isinstance(error, restarting.AWAY)
