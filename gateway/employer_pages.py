"""A practice's statement and contest pack under an employer's plan, as pages for readers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from contracts.units import money

WAITS = {
    "minimum_denominator": "too few people for money to depend on",
    "no_target": "no target is known for its cancers",
    "no_quality": "nothing of its quality could be measured",
    "member_parked": "a member's facts could not be read",
}
"""Why a clause waits, as readers say it."""


def statement_page(statement: Mapping[str, Any]) -> str:
    """The statement as HTML."""
    return _environment().get_template("employer_statement.html").render(s=statement)


def contest_page(pack: Mapping[str, Any]) -> str:
    """The contest pack as HTML."""
    return _environment().get_template("employer_contest.html").render(p=pack)


@cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("gateway"), autoescape=True, undefined=StrictUndefined)
    environment.filters["usd"] = lambda cents: f"{'-' if cents < 0 else ''}${money(abs(cents))}"
    environment.filters["waits"] = waits
    return environment


def waits(code: str) -> str:
    """`T2:minimum_denominator` -> 'T2: too few people for money to depend on'."""
    clause, _, reason = code.partition(":")
    return f"{clause}: {WAITS.get(reason, reason.replace('_', ' '))}"
