"""An independent account of BCBS South Carolina's settled period, by the words of its (invented) contract.

Nothing of the product is imported. A saving of 2 % of target or more is shared half, by quality and credibility, up to
10 % of target; from 2026 on a loss of 2 % or more is shared 40 %, by credibility, up to 5 %. Of one episode 250,000
dollars count at most; 100 episodes count in full, fewer by the root of their hundredths.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from math import isqrt
from pathlib import Path
from typing import Any

from tests.oracle.fold import Codes, Facts, Member, evidence, of_member, participating, read, survivors, takes_part
from tests.oracle.settlement import ONE, Account, Figures, _outcomes, divided, half_up, period_first, period_of, quality

STOP = 25_000_000
PRECISION = 10**40


@dataclass
class Targeted(Account):
    """An episode with its target in cents."""

    target: int = 0


@dataclass
class Told:
    """A practice's result: `share` below 0 is owed."""

    episodes: list[Targeted] = field(default_factory=list)
    share: int = 0
    zone: str = ""


def collect(events: Path, practices: Path) -> list[Targeted]:
    """Every member's episodes with what the plan paid."""
    codes, spans = Codes(), participating(practices)
    people: dict[Member, Facts] = {}
    seen: set[str] = set()
    for event in read(events):
        if event["id"] in seen:
            continue
        seen.add(event["id"])
        who = event["data"]["person"]["identifier"]
        people.setdefault(("", who["kind"], who["value"]), Facts()).take(event)
    found = []
    for member, facts in people.items():
        e = evidence(facts, codes, Counter())
        for episode in of_member("bcbs-sc", member, facts, codes, spans, date.min, Counter()):
            account = Targeted(episode, period_of(episode.start))
            account.settles = episode.included and takes_part(spans.get(episode.practice, ()), episode.start)
            account.cost = sum(_paid(facts, episode.start, episode.end))
            _outcomes(account, facts, e, codes)
            found.append(account)
    return found


def _paid(facts: Facts, first: date, last: date) -> list[int]:
    cents = []
    for (kind, _), records in facts.families.items():
        for record, line in survivors(kind, records):
            if record.get("primary_payer") not in ("A", "B", "G") and first <= _day(kind, record, line) <= last:
                cents.append(line["paid_cents"])
    return cents


def _day(kind: str, record: dict[str, Any], line: dict[str, Any]) -> date:
    if kind == "PharmacyClaimReceived":
        return date.fromisoformat(record["filled_on"])
    if kind == "ProfessionalClaimReceived":
        return date.fromisoformat(line["service_on"])
    stay = record["setting"] in ("inpatient", "skilled_nursing") and record.get("admitted_on")
    return date.fromisoformat(record["admitted_on"] if stay else record["from_on"])


def settle(accounts: list[Targeted], practices: Path, figures: Figures, period: int) -> dict[str, Told]:
    """Every practice's result of a period."""
    found: dict[str, Told] = defaultdict(Told)
    first, last = period_first(period), period_first(period + 1) - ONE
    for account in accounts:
        if account.period == period and account.settles:
            one = account.episode
            target = figures.on("target_price", one.start, f"{one.practice}/{one.cancer_type}", one.cancer_type)
            assert target is not None
            account.target = half_up(target * 100)
            found[one.practice].episodes.append(account)
    groups: dict[str, list[str]] = defaultdict(list)
    for practice, told in sorted(participating(practices).items()):
        if any(takes_part(told, first + ONE * n) for n in range((last - first).days + 1)):
            groups[figures.pools.get(practice, "") or practice].append(practice)
    for members in groups.values():
        if there := [practice for practice in members if found[practice].episodes]:
            _share(found, there, figures, period, first)
    return found


def _share(found: dict[str, Told], practices: list[str], figures: Figures, period: int, first: date) -> None:
    every = [account for practice in practices for account in found[practice].episodes]
    weights = [sum(a.target for a in found[practice].episodes) for practice in practices]
    target, actual = sum(weights), sum(min(a.cost, STOP) for a in every)
    score = quality(list(every), figures, {p: len(found[p].episodes) for p in practices}, period)
    assert score is not None
    credible = min(Fraction(1), Fraction(isqrt(len(every) * PRECISION**2 // 100), PRECISION))
    gap, amount, zone = target - actual, 0, "neutral"
    if gap > 0 and gap * 100 >= 2 * target:
        zone = "earned"
        amount = half_up(min(Fraction(gap) / 2 * score / 100 * credible, Fraction(target, 10)))
    elif gap < 0 and -gap * 100 >= 2 * target and first >= date(2026, 1, 1):
        amount = -half_up(min(Fraction(-gap) * Fraction(4, 10) * credible, Fraction(target, 20)))
        zone = "owed" if amount else "neutral"
    for practice, part in zip(practices, divided(amount, weights), strict=True):
        found[practice].share, found[practice].zone = part, zone
