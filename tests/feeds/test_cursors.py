"""A cursor opens for the subscriber it was given to, and for nobody else."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from gateway.cursors import BadCursor, opened, sealed
from gateway.principals import Principal, scopes_of
from projections.feed import Place
from projections.tenancy import Tenant
from tests.feeds.emitting import Unnoted
from tests.gateway.served import MEDICARE, app_of, client_of

KEY = bytes(32)
ACME = Tenant("employer", "employers", "acme")
PLACE = Place(-7, 2**40, "acme", 12, uuid4())


def test_a_cursor_gives_its_place_again() -> None:
    assert opened(KEY, ACME, sealed(KEY, ACME, PLACE)) == PLACE


@pytest.mark.parametrize("other", [Tenant("employer", "employers", "zenith"), Tenant("payer", "employers", "acme")])
def test_a_cursor_of_another_is_refused(other: Tenant) -> None:
    with pytest.raises(BadCursor):
        opened(KEY, other, sealed(KEY, ACME, PLACE))


@pytest.mark.parametrize("made_up", ["", "x", "not a cursor", "é", "A" * 80])
def test_a_cursor_made_up_is_refused(made_up: str) -> None:
    with pytest.raises(BadCursor):
        opened(KEY, ACME, made_up)


async def test_the_feed_refuses_such_a_cursor_and_a_credential_of_no_payer(tmp_path: Path) -> None:
    nowhere = Principal("practice", practice="P1", scopes=scopes_of("practice"))
    app = app_of(tmp_path, payer=MEDICARE, nowhere=nowhere)
    app.state.accesses = Unnoted()
    for token, status, code in (("payer", 400, "cursor_invalid"), ("nowhere", 403, "forbidden")):
        async with client_of(app, token) as client:
            answer = await client.get("/v1/feed", params={"after": "made-up"})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
