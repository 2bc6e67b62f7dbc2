"""Nothing is told of a person's return but under an authorization in force, and a revocation is final."""

from __future__ import annotations

from datetime import date
from itertools import permutations
from typing import Any

import pytest

from contracts.authorizations import Authorizations
from contracts.envelope import Fact
from contracts.events import AuthorizationGiven, AuthorizationRevoked, MemberFact


def fact(data: MemberFact) -> Fact:
    return Fact("e", "e", data.type_name(), "m", "acme", data, "t", 0, 1, 0, "d")


def given(**changed: Any) -> Fact:
    fields: dict[str, Any] = {
        "authorization_id": "a-1", "recipient": "acme", "scope": "return_to_work", "purpose": "benefits",
        "signed_on": date(2026, 1, 10), "expires_on": date(2026, 12, 31), "text_version": "2026-1",
    }  # fmt: skip
    return fact(AuthorizationGiven(**(fields | changed)))


REVOKED = fact(AuthorizationRevoked(authorization_id="a-1", revoked_on=date(2026, 6, 1)))


def held(*facts: Fact) -> Authorizations:
    found = Authorizations()
    for one in facts:
        found.take(one)
    return found


@pytest.mark.parametrize(
    ("on", "standing"),
    [
        ("2026-01-09", "not_yet"),
        ("2026-01-10", "in_force"),
        ("2026-12-31", "in_force"),
        ("2027-01-01", "expired"),
    ],
)
def test_an_authorization_holds_from_its_first_day_through_its_last(on: str, standing: str) -> None:
    assert held(given()).standing("a-1", "acme", on) == standing


def test_only_the_recipient_named_is_told() -> None:
    assert held(given()).standing("a-1", "zenith", "2026-02-01") == "not_the_recipient"
    assert held(given()).standing("a-2", "acme", "2026-02-01") == "unknown"


def test_a_revocation_is_final_in_whatever_order_it_is_heard() -> None:
    for order in permutations([given(), given(expires_on=date(2030, 1, 1)), REVOKED]):
        assert held(*order).standing("a-1", "acme", "2026-05-01") == "revoked"
    renewed = held(given(), REVOKED, given(authorization_id="a-2"))
    assert renewed.standing("a-2", "acme", "2026-07-01") == "in_force"


def test_the_first_giving_of_an_id_holds() -> None:
    assert held(given(), given(recipient="zenith")).standing("a-1", "zenith", "2026-02-01") == "not_the_recipient"
