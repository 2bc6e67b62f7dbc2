"""Warns that a paid month may come back, as the risk forms: when a day is closed, not when a period is settled.

A paid line of enhanced services is at risk while it is one that a settlement would take back (`meos_lines`): no episode
in sight, a void or excluded one, or one that another practice has because it furnished most visits and the biller less
than a quarter (EOM 1.7, 2.4). A line is looked at so many days after its service, and whenever its episode was judged
otherwise since; claims that touch no such line cost nothing. A warning moves no money; it says what would come back,
and it is taken back by its exact reversal once the line is owed, or is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from contracts.adopting import Rules
from contracts.cases import MonthlyLine
from contracts.clauses import Judgement
from contracts.envelope import Fact, payment_id
from contracts.episode import Window, cancer_type, window_of
from contracts.errors import NoTermInForce
from contracts.meos_lines import OWED, monthly_lines
from contracts.outcome import Outcome
from contracts.parts import HEAD, Adoption, Episode, Member, Ref
from contracts.paying import Payments
from contracts.units import add_days, add_months, money, months_of

KIND = "MEOS_AT_RISK"
MARK = "~"
"""Ends the keys of `Head.due` that name a day around which paid lines are to be looked at."""

AFTER = "risk_after_days"
"""The term that says when; a sheet without it warns of nothing."""

RESTS_ON = {
    "other_practice": ("attribution_share", "attribution_ties", "meos_recoupment"),
    "beyond_most_months": ("meos_months_max", "meos_recoupment"),
} | dict.fromkeys(
    (
        "no_episode",
        "episode_void",
        "episode_excluded",
        "after_death",
        "not_taking_part",
        "in_hospice",
        "second_in_month",
    ),
    ("meos_recoupment",),
)
"""The terms that a reason of a warning rests on: what comes back, and what decides that it would."""

CLOSED = "carepact.DayClosed.v1"


def watch(member: Member, rules: Rules, day: str) -> None:
    """Look at the paid lines around a day once it, and the days a line is given, have closed."""
    if rules.clauses.services and AFTER in rules.terms.content["terms"] and f"{day}{MARK}" not in member.head.due:
        days = int(rules.terms.on(AFTER, day).number)
        member.head.due[f"{day}{MARK}"] = add_days(day, days)
        member.dirty.add(HEAD)


def look(payments: Payments, member: Member, fact: Fact, rules: Rules, adoption: Adoption, outcome: Outcome) -> None:
    """At a closed day: warn of paid lines that came to be at risk, and take back what is none any more."""
    due = member.head.due
    marks = [key for key, day in due.items() if key.endswith(MARK) and day <= adoption.closed_through]
    if not marks or fact.type != CLOSED:
        return
    member.dirty.add(HEAD)
    seen: set[str] = set()
    found: dict[str, tuple[MonthlyLine, Window | None, Episode | None]] = {}
    for mark in sorted(marks):
        del due[mark]
        first, last = _reach(member, rules, mark[: -len(MARK)])
        seen |= {key for key in member.head.risks if first <= key[:10] <= last}
        for key, line, window, episode in _lines(member, rules, adoption, first, last):
            seen.add(key)
            found[key] = line, window, episode
    for key in sorted(seen):
        held, now = member.head.risks.get(key), found.get(key)
        if now is not None and (now[0].disposition == OWED or now[0].paid_cents <= 0):
            now = None
        if held is not None and (now is None or held[1:4] != _said(now[0])):
            _withdraw(payments, member, fact, rules, key, held, outcome)
            held = None
        if held is None and now is not None:
            _warn(payments, member, fact, rules, key, *now, outcome)


def _reach(member: Member, rules: Rules, day: str) -> tuple[str, str]:
    """The days around a day whose lines may be otherwise than before: its episode's, or half a year."""
    calendar = rules.clauses.calendar
    for start in member.head.episodes:
        if start <= day <= calendar.ends_on(start):
            return start, calendar.ends_on(start)
    return day, add_days(add_months(day, calendar.months), -1)


Looked = tuple[str, MonthlyLine, Window | None, Episode | None]


def _lines(member: Member, rules: Rules, adoption: Adoption, first: str, last: str) -> Iterator[Looked]:
    """Each billed line of some days, with what becomes of it as things stand."""
    clauses, outside = rules.clauses, set()
    for month in months_of(first, last):
        held = member.month(month)
        outside |= {key for key in (held.services if held is not None else ()) if first <= key[:10] <= last}
    for start in member.head.episodes:
        end = clauses.calendar.ends_on(start)
        episode = member.episodes.get(start)
        if episode is None or end < first or start > last:
            continue
        window = window_of(member, start, end)
        judgement: Judgement = clauses.judge(
            member, window, cancer_type(member, window, clauses.calendar.lookback_days)
        )
        dues = clauses.owed(member, episode, window, adoption) if judgement.included else []
        lines = monthly_lines(member, window, judgement, episode.practice, dues, adoption)
        for key, line in zip(sorted(window.services), lines, strict=True):
            outside.discard(key)
            yield key, line, window, episode
    for key, line in zip(
        sorted(outside), monthly_lines(member, None, None, "", [], adoption, sorted(outside)), strict=True
    ):
        yield key, line, None, None


def _said(line: MonthlyLine) -> list[Any]:
    return [line.disposition, line.paid_cents, line.practice]


def _warn(
    payments: Payments,
    member: Member,
    fact: Fact,
    rules: Rules,
    key: str,
    line: MonthlyLine,
    window: Window | None,
    episode: Episode | None,
    outcome: Outcome,
) -> None:
    name = payment_id(payments.contract, f"{member.token}|{key}", KIND, line.month, fact.fact_id, "", 0)
    at = episode or Episode("", line.day, line.day)
    words = f"{money(line.paid_cents)} paid on the claim would come back: {line.disposition.replace('_', ' ')}"
    if line.disposition == "other_practice" and window is not None and episode is not None:
        visits, own = len(window.visits), window.practices.get(line.practice, 0)
        share = rules.terms.on("attribution_share", window.start)
        words += f"; {own} of {visits} cancer visits, the share asked for is {share.value}"
    facts: list[tuple[Ref, str]] = [
        (line.ref, f"month {line.month} billed by {line.practice}, paid {money(line.paid_cents)}")
    ]
    began = line.day if window is None else window.start
    told = _told("Paid month at risk", words, rules, line.disposition, line.day, began)
    _emit(payments, member, fact, rules, at, outcome, name, line.practice, line.day, "", told, facts)
    outcome.payments[-1].event.update(at_risk_cents=line.paid_cents, reason=line.disposition)
    member.head.risks[key] = [name, *_said(line), at.episode_id]


def _withdraw(
    payments: Payments, member: Member, fact: Fact, rules: Rules, key: str, held: list[Any], outcome: Outcome
) -> None:
    warned, reason, paid_cents, practice, episode_id = held
    day = key[:10]
    name = payment_id(payments.contract, f"{member.token}|{key}", KIND, day[:7], fact.fact_id, warned, 0)
    words = f"no longer as warned of by {warned}: {reason.replace('_', ' ')}"
    told = _told("Reversal: Paid month at risk", words, rules, reason, day, day)
    _emit(payments, member, fact, rules, Episode(episode_id, day, day), outcome, name, practice, day, warned, told, [])
    outcome.payments[-1].event.update(at_risk_cents=-paid_cents, reason=reason)
    del member.head.risks[key]


def _told(label: str, words: str, rules: Rules, reason: str, day: str, began: str) -> dict[str, Any]:
    """The line of a warning: the terms by which it is given, and those its reason rests on, as they were adopted."""
    terms = [rules.terms.on(AFTER, day).as_use()]
    for name in RESTS_ON.get(reason, ()):
        with suppress(NoTermInForce):  # a month billed before the model's first day
            terms.append(rules.terms.on(name, began).as_use())
    return {"clause": KIND, "label": label, "arithmetic": words, "amount_cents": 0, "terms": terms}


def _emit(
    payments: Payments,
    member: Member,
    fact: Fact,
    rules: Rules,
    at: Episode,
    outcome: Outcome,
    name: str,
    practice: str,
    day: str,
    reverses: str,
    told: dict[str, Any],
    facts: list[tuple[Ref, str]],
) -> None:
    """One event that moves nothing; it rests on the closed day and on the sheet whose terms it names."""
    facts = [
        *facts,
        (fact.ref, f"days closed through {fact.data.through_on.isoformat()}"),
        (rules.sheet.ref, f"terms {rules.sheet.version} of {payments.contract} adopted"),
    ]
    payments.emit(member, fact, rules, at, outcome, name, KIND, 0, practice, day[:7], day, reverses, "", [told], facts)
