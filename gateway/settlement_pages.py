"""A practice's statement and contest pack as pages for readers: one HTML file each, with nothing to load."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

PLAIN = {
    "no_target": "no target is known for an episode",
    "no_revenue": "the practice's revenue is not known",
    "not_reconciled": "its cancer is not reconciled",
    "illustrative_terms": "every dollar of this contract is illustrative",
    "no_baseline": "no baseline price is known for an episode",
    "no_experience": "no experience adjuster is known",
    "no_trend": "no trend factor is known for the period",
    "no_geography": "no geographic adjustment is known",
    "no_arrangement": "no risk arrangement is known",
    "no_quality_score": "no measure of quality can be scored",
    "pool_arrangements_differ": "the pool's practices have different risk arrangements",
    "member_parked": "a member's facts could not be read",
    "not_taking_part": "the practice did not take part",
    "no_winsor_limits": "no limits of an episode's cost are known, none are applied",
    "no_novel_comparison": "others' use of novel therapy is not known, nothing is added for it",
    "no_episodes": "no episode is settled",
    "run_out_not_closed": "days are not closed as far as this run is due",
}
"""Reasons as readers say them; others are their own words."""


def statement_page(statement: Mapping[str, Any]) -> str:
    """The statement as HTML."""
    return _environment().get_template("statement.html").render(s=statement)


def contest_page(pack: Mapping[str, Any]) -> str:
    """The contest pack as HTML."""
    return _environment().get_template("contest.html").render(p=pack)


def feedback_page(report: Mapping[str, Any]) -> str:
    """The feedback report as HTML."""
    return _environment().get_template("feedback.html").render(f=report)


@cache
def _environment() -> Environment:
    environment = Environment(loader=PackageLoader("gateway"), autoescape=True, undefined=StrictUndefined)
    environment.filters["usd"] = dollars
    environment.filters["words"] = words
    return environment


def words(code: str) -> str:
    """A code as a reader says it."""
    return PLAIN.get(code, code.replace("_", " "))


def dollars(cents: int) -> str:
    """`-$1,234.56`"""
    return f"{'-' if cents < 0 else ''}${abs(cents) // 100:,}.{abs(cents) % 100:02d}"
