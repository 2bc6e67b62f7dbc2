"""An independent account of a history of EOM settled under OCM, by the words of OCM's methodology.

Nothing of the product is imported. 160 dollars for each of at most six months, all of which count; every cancer and no
sub-type left out; the practice with most visits; one price model and no clinical adjuster; novel drugs over all of a
practice's episodes together; three tracks, of which one owes nothing and one has its limits in practice revenue.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from pathlib import Path

from tests.oracle.fold import (
    Codes,
    Episode,
    Evidence,
    Facts,
    Member,
    cancer_type,
    end_of,
    evidence,
    participating,
    read,
    starts,
    takes_part,
    void_reason,
)  # fmt: skip
from tests.oracle.settlement import (
    ONE,
    Account,
    Figures,
    Population,
    _bills,
    _money,
    _outcomes,
    _owed,
    divided,
    geography,
    half_up,
    period_first,
    period_of,
    raised,
)  # fmt: skip

TRACKS = {"RA1": "one_sided", "RA2": "two_sided", "alternative": "alternative"}
DISCOUNT = {"one_sided": Fraction(4, 100), "two_sided": Fraction(275, 10_000), "alternative": Fraction(25, 1_000)}
GAIN = {"one_sided": Fraction(20, 100), "two_sided": Fraction(20, 100), "alternative": Fraction(16, 100)}
LOSS = {"two_sided": Fraction(20, 100), "alternative": Fraction(8, 100)}
MEASURES = ("OCM-1", "OCM-2", "OCM-3", "OCM-4a", "OCM-4b", "OCM-5", "OCM-6")
TIERS = ((75, Fraction(1)), (50, Fraction(3, 4)), (30, Fraction(1, 2)), (0, Fraction(0)))


class OcmCodes(Codes):
    """The value sets, with OCM's cancers."""

    def __init__(self) -> None:
        super().__init__()
        self.cancers = self._column("ocm_cancer_types_icd10", "prefix", "cancer_type")


@dataclass
class Told:
    """A practice's result of a period: `share` below 0 is owed."""

    episodes: list[Account] = field(default_factory=list)
    share: int = 0
    recouped: int = 0
    zone: str = ""
    track: str = ""
    tier: int = 0
    novel: bool = False


def collect(events: Path, practices: Path) -> Population:
    """Every member's episodes, money and billed months."""
    codes, spans = OcmCodes(), participating(practices)
    people: dict[Member, Facts] = {}
    seen: set[str] = set()
    for event in read(events):
        if event["id"] not in seen:
            seen.add(event["id"])
            who = event["data"]["person"]["identifier"]
            people.setdefault(("", who["kind"], who["value"]), Facts()).take(event)
    found = Population([], [], spans, Counter())
    for member, facts in people.items():
        e = evidence(facts, codes, Counter())
        episodes = [_episode(member, facts, e, day, source, cancer) for day, source, cancer in starts(e, Counter())]
        bills, owed = _bills(facts), set()
        for episode in episodes:
            account = Account(episode, period_of(episode.start))
            found.accounts.append(account)
            account.settles = episode.included and takes_part(spans.get(episode.practice, ()), episode.start)
            mine = _owed(episode, facts, bills, spans)
            owed |= mine
            _money(account, facts, len(mine), 16_000)
            _outcomes(account, facts, e, codes)
        for day, tin, paid, key in bills:
            inside = next((x for x in episodes if x.start <= day <= x.end), None)
            period = period_of(inside.start if inside else day)
            found.lines.append((day, tin, paid, period, "owed" if key in owed else "back"))
    return found


def _episode(member: Member, facts: Facts, e: Evidence, start: date, source: str, cancer: str) -> Episode:
    episode = Episode(member, start, end_of(start), source, cancer)
    visits = [v for v in e.visits if episode.start <= v[0] <= episode.end]
    episode.visits = len(visits)
    episode.cancer_type = cancer_type(visits) or cancer
    episode.practice = _plurality(visits)
    episode.void_reason = void_reason("medicare", episode, facts, e)
    episode.status = "void" if episode.void_reason else "valid"
    return episode


def _plurality(visits: list[tuple[date, str, str]]) -> str:
    """Most visits, then the latest of all, then the lowest last digit."""
    count = Counter(tin for _, tin, _ in visits)
    latest = {tin: max(d for d, t, _ in visits if t == tin).toordinal() for tin in count}
    return min(count, key=lambda tin: (-count[tin], -latest[tin], tin[::-1]), default="")


def settle(population: Population, figures: Figures, period: int) -> dict[str, Told]:
    """Every practice's result of a period, by its number."""
    found: dict[str, Told] = defaultdict(Told)
    first, last = period_first(period), period_first(period + 1) - ONE
    for _, practice, paid, of, what in population.lines:
        if of == period and what == "back" and paid > 0:
            found[practice].recouped += paid
    for account in population.accounts:
        if account.period == period and account.settles and account.episode.cancer_type != "other":
            _price(account, figures, period, first)
            found[account.episode.practice].episodes.append(account)
    groups: dict[str, list[str]] = defaultdict(list)
    for practice, told in sorted(population.spans.items()):
        if any(takes_part(told, first + ONE * n) for n in range((last - first).days + 1)):
            groups[figures.pools.get(practice, "") or practice].append(practice)
            one = found[practice]
            one.novel = raised(one.episodes, figures, first, f"{period}") > 1
    for members in groups.values():
        if there := [practice for practice in members if found[practice].episodes]:
            _reconcile(found, there, figures, period, first)
    return found


def _price(account: Account, figures: Figures, period: int, first: date) -> None:
    """Baseline x experience x trend, the trend of the practice, else of all; cost between the limits."""
    episode = account.episode
    cancer, practice, day = episode.cancer_type, episode.practice, episode.start
    low, high = (figures.on(f"winsor_{side}", first, f"{period}/{cancer}") for side in ("low", "high"))
    account.counted = account.cost
    if low is not None:
        account.counted = max(account.counted, half_up(low * 100))
    if high is not None:
        account.counted = min(account.counted, half_up(high * 100))
    base = figures.on("baseline_price", day, f"{practice}/{cancer}", cancer)
    experience = figures.on("experience_adjuster", day, practice, f"{practice}/{cancer}")
    trend = figures.on("trend_factor", first, f"{practice}/{period}", f"{period}", f"{period}/{cancer}")
    assert base is not None and experience is not None and trend is not None
    account.exact = base * experience * trend * 100
    account.trended = account.benchmark = half_up(account.exact)


def _score(accounts: list[Account], figures: Figures, sizes: dict[str, int], period: int) -> Fraction | None:
    """Ten points a measure; OCM-1 and OCM-2 are better when lower. Per cent, cut to six decimals."""
    first = period_first(period)

    def told(name: str, key: str) -> Fraction | None:
        values = [(figures.on(name, first, f"{practice}/{key}"), n) for practice, n in sizes.items() if n]
        if not values or any(value is None for value, _ in values):
            return None
        return sum((value * n for value, n in values if value is not None), Fraction(0)) / sum(n for _, n in values)

    score = told("quality_score", f"{period}")
    if score is None:
        treated, died = [a for a in accounts if a.treated], [a for a in accounts if a.died]
        rates = {
            "OCM-1": (sum(a.admitted for a in treated), len(treated)),
            "OCM-2": (sum(a.emergency and not a.admitted for a in treated), len(treated)),
            "OCM-3": (sum(a.hospice for a in died), len(died)),
        }
        earned, possible = Fraction(0), 0
        for measure in MEASURES:
            points = told("quality_points", f"{period}/{measure}")
            numerator, of = rates.get(measure, (0, 0))
            if points is None and of:
                prefix, rate = f"{period}/{measure}/", Fraction(100 * numerator, of)
                cuts = [
                    (Fraction(key.removeprefix(prefix)), figures.on(name, first, key))
                    for name, key in list(figures.values)
                    if name == "quality_cut" and key.startswith(prefix)
                ]
                reached = [
                    p for p, cut in cuts if cut is not None and (rate >= cut if measure == "OCM-3" else rate <= cut)
                ]
                points = max(reached, default=Fraction(0)) if cuts else None
            if points is not None:
                earned, possible = earned + min(points, Fraction(10)), possible + 10
        score = 100 * earned / possible if possible else None
    return None if score is None else Fraction(score * 10**6 // 1, 10**6)


def _reconcile(found: dict[str, Told], practices: list[str], figures: Figures, period: int, first: date) -> None:
    accounts = [account for practice in practices for account in found[practice].episodes]
    weights = [sum(a.benchmark for a in found[practice].episodes) for practice in practices]
    whole, actual = sum(weights), sum(a.counted for a in accounts)
    track = TRACKS[figures.arrangement(practices[0], period)]
    score = _score(accounts, figures, {p: len(found[p].episodes) for p in practices}, period)
    gaf = geography(figures, practices, weights, first)
    assert score is not None
    limits = Fraction(whole)
    if track == "alternative":
        revenue = [figures.on("practice_revenue", first, f"{practice}/{period}") for practice in practices]
        limits = 100 * sum((one for one in revenue if one is not None), Fraction(0))
    target, tier = whole * (1 - DISCOUNT[track]), next(least for least, _ in TIERS if score >= least)
    amount, zone = 0, "neutral"
    if actual < target:
        zone = "earned"
        stopped = min(target - actual, GAIN[track] * limits)
        amount = half_up(stopped * dict(TIERS)[tier] * gaf * Fraction(98, 100))
    elif actual > target and track in LOSS:
        zone, amount = "owed", -half_up(min(actual - target, LOSS[track] * limits) * gaf)
    for practice, part in zip(practices, divided(amount, weights), strict=True):
        one = found[practice]
        one.share, one.zone, one.track, one.tier = part, zone, track, tier
