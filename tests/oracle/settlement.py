"""An independent account of a settled period: every episode, month and cent, by the words of the payment methodology.

Nothing of the product is imported; sums are fractions, days are dates, and figures are written here or read from the
published facts. Episodes are those of `tests.oracle.fold`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.oracle.fold import (
    FOREVER,
    Codes,
    Episode,
    Evidence,
    Facts,
    Member,
    evidence,
    of_member,
    participating,
    read,
    survivors,
    takes_part,
)  # fmt: skip

DISCOUNT = {"RA1": Fraction(4, 100), "RA2": Fraction(3, 100)}
GAIN = {"RA1": Fraction(4, 100), "RA2": Fraction(12, 100)}
LOSS = {"RA1": Fraction(2, 100), "RA2": Fraction(6, 100)}
POINTS = {
    "EOM-1a": 6, "EOM-1b": 6, "EOM-2": 12, "EOM-3": 12, "EOM-4a": 6, "EOM-4b": 6, "EOM-5": 12, "EOM-6": 12,
}  # fmt: skip
LOWER = {"EOM-1a", "EOM-1b", "EOM-3"}
CONDITIONS = (
    "D611", "D630", "D6481", "D6489", "D649", "E860", "E861", "E869", "K521", "K5289", "K529", "R197", "R111", "R112",
    "R500", "R502", "R508", "R509", "R110", "D700", "D701", "D702", "D704", "D708", "D709", "G890", "G8911", "G8912",
    "G8918", "G893", "G894", "R070", "R071", "R0782", "R0789", "R079", "R10", "R52", "J12", "J13", "J14", "J15",
    "J16", "J17", "J18", "A40", "A41", "R652",
)  # fmt: skip
ONE = timedelta(days=1)


def half_up(value: Fraction) -> int:
    """To whole cents, halves away from nought."""
    size = (2 * abs(value) + 1) // 2
    return int(size if value >= 0 else -size)


def period_of(day: date) -> int:
    return max(0, (day.year - 2023) * 2 + (1 if day.month >= 7 else 0))


def period_first(period: int) -> date:
    return date(2023 + period // 2, 1 if period % 2 == 0 else 7, 1)


@dataclass
class Account:
    """An episode's money and outcomes."""

    episode: Episode
    period: int
    cost: int = 0
    novel: int = 0
    counted: int = 0
    benchmark: int = 0
    trended: int = 0
    settles: bool = False
    treated: bool = False
    admitted: bool = False
    emergency: bool = False
    died: bool = False
    late_therapy: bool = False
    hospice: bool = False
    how: str = ""
    factors: Fraction = Fraction(1)
    drugs: list[tuple[str, date, Fraction]] = field(default_factory=list)
    biosimilars: list[tuple[str, date, Fraction]] = field(default_factory=list)
    exact: Fraction = Fraction(0)


@dataclass
class Result:
    """A practice's period: `share` below 0 is owed."""

    share: int = 0
    recouped: int = 0
    zone: str = ""
    arrangement: str = ""
    tier: int = 0
    novel: int = 0
    episodes: list[Account] = field(default_factory=list)


@dataclass
class Population:
    """All that an account of any period needs."""

    accounts: list[Account]
    lines: list[tuple[date, str, int, int, str]]  # day, practice, paid, period, what became of it
    spans: dict[str, list[tuple[date, date, bool]]]
    saw: Counter[str]


def collect(events: Path, practices: Path) -> Population:
    """Every member's facts, episodes and billed months."""
    codes, saw = Codes(), Counter[str]()
    spans = participating(practices)
    people: dict[Member, tuple[Facts, dict[str, tuple[date, str, str]]]] = {}
    seen: set[str] = set()
    for event in read(events):
        if event["id"] in seen:
            continue
        seen.add(event["id"])
        data = event["data"]
        who = data["person"]["identifier"]
        facts, clinical = people.setdefault(("", who["kind"], who["value"]), (Facts(), {}))
        facts.take(event)
        if event["type"].split(".")[1] == "ClinicalFactRecorded":
            observed = date.fromisoformat(data["observed_on"])
            clinical[data["record_id"]] = (observed, data["element"], data["value"])
    found = Population([], [], spans, saw)
    for member, (facts, clinical) in people.items():
        e = evidence(facts, codes, Counter())
        episodes = of_member("medicare", member, facts, codes, spans, date.min, saw)
        bills = _bills(facts)
        owed: set[str] = set()
        for episode in episodes:
            account = Account(episode, period_of(episode.start))
            found.accounts.append(account)
            account.settles = episode.included and takes_part(spans.get(episode.practice, ()), episode.start)
            account.factors = _clinical(episode, clinical)
            account.how = _how(episode, e)
            mine = _owed(episode, facts, bills, spans)
            owed |= mine
            _money(account, facts, len(mine), 7_000 if episode.start < date(2025, 1, 1) else 11_000)
            _outcomes(account, facts, e, codes)
            assert len(mine) == len(episode.months)
        for day, tin, paid, key in bills:
            inside = next((x for x in episodes if x.start <= day <= x.end), None)
            period = period_of(inside.start) if inside else period_of(day)
            found.lines.append((day, tin, paid, period, "owed" if key in owed else "back"))
    return found


def _bills(facts: Facts) -> list[tuple[date, str, int, str]]:
    """Every surviving line of M0010: day, biller, paid, and what tells it from others of its day."""
    found = []
    for (kind, _), records in facts.families.items():
        if kind != "ProfessionalClaimReceived":
            continue
        order = {id(record): n for n, record in enumerate(records)}
        for record, line in survivors(kind, records):
            if line["code"] == "M0010" and record.get("primary_payer") not in ("A", "B", "G"):
                tin, day = record["billing_tin"], line["service_on"]
                key = f"{day}|{tin}|M0010|{record['claim_id']}|{line['line']}#{order[id(record)]:04d}"
                found.append((date.fromisoformat(day), tin, line["paid_cents"], key))
    return sorted(found, key=lambda bill: bill[3])


def _owed(episode: Episode, facts: Facts, bills: list[tuple[date, str, int, str]], spans: Any) -> set[str]:
    """The first billed line of each of the first six months that may be paid."""
    if not episode.included:
        return set()
    until = facts.died or FOREVER
    months: dict[str, str] = {}
    for day, tin, _, key in bills:
        home = all(facts.covered("hospice", d) is not None for d in (day - ONE, day))
        mine = episode.start <= day <= episode.end and tin == episode.practice and day <= until and not home
        if mine and takes_part(spans.get(tin, ()), day):
            months.setdefault(f"{day:%Y-%m}", key)
    return {months[month] for month in sorted(months)[:6]}


def _money(account: Account, facts: Facts, months: int, monthly: int) -> None:
    """(A and B) / 0.98 + subsidy + 80 % above the threshold + what counts of each paid month."""
    episode, whole = account.episode, Fraction(0)
    for (kind, _), records in facts.families.items():
        for record, line in survivors(kind, records):
            if record.get("primary_payer") in ("A", "B", "G"):
                continue
            day, paid = _paid(kind, record, line)
            if paid and episode.start <= day <= episode.end:
                whole += paid
                code = record["ndc"][:9] if kind == "PharmacyClaimReceived" else line.get("code")
                if code:
                    account.drugs.append((code, day, paid))
            if kind == "InstitutionalClaimReceived" and record["setting"] == "outpatient":
                account.drugs += _given_at_a_hospital(episode, record)
            _biosimilars(account, kind, record, line)
    whole += months * monthly
    account.cost = half_up(whole)


def _given_at_a_hospital(episode: Episode, record: dict[str, Any]) -> list[tuple[str, date, Fraction]]:
    """A hospital's claim is paid as a whole: of it each line has its part by charges, in whole cents."""
    paid, lines = record.get("standardized_cents") or record["paid_cents"], record.get("lines", ())
    charged = sum(one.get("charge_cents") or 0 for one in lines)
    found = []
    for one in lines:
        day, part = date.fromisoformat(one["service_on"]), one.get("charge_cents") or 0
        if charged and episode.start <= day <= episode.end:
            found.append((one["code"], day, Fraction(paid * part // charged * 100, 98)))
    return found


def _biosimilars(account: Account, kind: str, record: dict[str, Any], line: dict[str, Any]) -> None:
    """Units billed in the episode on lines, or by a hospital's claim, whose amount is not standardised."""
    if kind == "PharmacyClaimReceived" or (line if kind[0] == "P" else record).get("standardized_cents") is not None:
        return
    lines = [line] if kind[0] == "P" else record.get("lines", ()) if record["setting"] == "outpatient" else ()
    for one in lines:
        day = date.fromisoformat(one["service_on"])
        if (
            one["code"].startswith("Q5")
            and not one.get("denied")
            and account.episode.start <= day <= account.episode.end
        ):
            account.biosimilars.append((one["code"], day, Fraction(one.get("units") or 0)))


def _paid(kind: str, record: dict[str, Any], line: dict[str, Any]) -> tuple[date, Fraction]:
    if kind == "PharmacyClaimReceived":
        day = date.fromisoformat(record["filled_on"])
        above = Fraction(8, 10) * record.get("above_threshold_cents", 0)
        return day, record.get("low_income_subsidy_cents", 0) + above
    if kind == "ProfessionalClaimReceived":
        if line["code"] == "M0010":
            return date.min, Fraction(0)
        paid = line.get("standardized_cents") or line["paid_cents"]
        return date.fromisoformat(line["service_on"]), Fraction(paid * 100, 98)
    stay = record["setting"] in ("inpatient", "skilled_nursing") and record.get("admitted_on")
    day = date.fromisoformat(record["admitted_on"] if stay else record["from_on"])
    return day, Fraction((record.get("standardized_cents") or record["paid_cents"]) * 100, 98)


def _clinical(episode: Episode, clinical: dict[str, tuple[date, str, str]]) -> Fraction:
    """1.06, 1.10, 1.23 by what was recorded through the episode's end."""
    known = {n: v for n, v in clinical.items() if v[0] <= episode.end}
    spread = any(element == "ever_metastatic" and value == "yes" for _, element, value in known.values())
    her2 = sorted((day, n, value) for n, (day, element, value) in known.items() if element == "her2")
    positive = bool(her2) and her2[-1][2] == "positive"
    match episode.cancer_type:
        case "lung" if spread:
            return Fraction(106, 100)
        case "colorectal" if spread:
            return Fraction(110, 100)
        case "breast" if spread and positive:
            return Fraction(123, 100)
    return Fraction(1)


def _how(episode: Episode, e: Evidence) -> str:
    """The step that attributed the episode, and that which gave its cancer."""
    visits = [v for v in e.visits if episode.start <= v[0] <= episode.end]
    if not visits:
        return "no visit"
    count = Counter(tin for _, tin, _ in visits)
    opening = min(v[0] for v in visits)
    first = max(count[t] for d, t, _ in visits if d == opening)
    most = [t for t in count if count[t] == max(count.values())]
    if first * 4 >= len(visits):
        step = "first visit"
    elif len(most) == 1:
        step = "plurality"
    else:
        last = Counter(max(d for d, t, _ in visits if t == tin) for tin in most)
        step = "latest visit" if last[max(last)] == 1 else "last digit"
    kinds = Counter(c for _, _, c in visits)
    tied = [c for c in kinds if kinds[c] == max(kinds.values())]
    if len(tied) == 1:
        return f"{step}, {'one cancer' if len(kinds) == 1 else 'most visits'}"
    days = sorted(sorted((d for d, _, c in visits if c == k), reverse=True) for k in tied)
    if days[-1] == days[-2]:
        return f"{step}, cancer by last digit"
    return f"{step}, cancer by {'latest' if days[-1][0] != days[-2][0] else 'an earlier'} visit"


def _outcomes(account: Account, facts: Facts, e: Evidence, codes: Codes) -> None:
    """What claims show for EOM-1 to EOM-3."""
    episode = account.episode
    if not episode.included:
        return
    died = facts.died if facts.died and facts.died <= episode.end else None
    therapies = {day for day, *_ in e.therapies}
    given = [d for d in therapies if episode.start <= d <= min(episode.end, died or FOREVER)]
    account.treated = bool(given) and episode.cancer_type != "chronic_leukemia"
    for (kind, _), records in facts.families.items():
        if kind != "InstitutionalClaimReceived":
            continue
        for record, _line in survivors(kind, records):
            stays = record["setting"] == "inpatient"
            visit = record["setting"] == "outpatient" and any(
                ln.get("revenue_center", "") in {f"{n:04d}" for n in (*range(450, 460), 981)}
                for ln in record.get("lines", ())
            )
            if not (stays or visit) or record.get("denied") or not _complication(record["diagnoses"], codes):
                continue
            text = (record.get("admitted_on") if stays else None) or record["from_on"]
            day = date.fromisoformat(text)
            if any(d <= day <= d + timedelta(days=30) for d in given):
                account.admitted |= stays
                account.emergency |= visit
    if died is not None:
        account.died = True
        days = therapies | {day for day, _, _ in e.fills}
        account.late_therapy = any(died - timedelta(days=13) <= d <= died for d in days)
        there = 0
        while facts.covered("hospice", died - timedelta(days=there)) is not None:
            there += 1
        account.hospice = there > 3


def _complication(diagnoses: list[str], codes: Codes) -> bool:
    named = diagnoses if codes.cancer(diagnoses[0]) else diagnoses[:1]
    return any(code.startswith(prefix) for code in named for prefix in CONDITIONS)


# Figures


class Figures:
    """What the payer published."""

    def __init__(self, *paths: Path) -> None:
        self.values: dict[tuple[str, str], list[tuple[date, Fraction]]] = defaultdict(list)
        self.arrangements: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self.pools: dict[str, str] = {}
        for path in paths:
            for event in read(path):
                data = event["data"]
                match event["type"].split(".")[1]:
                    case "ReferenceValueSet":
                        told = (date.fromisoformat(data["from_on"]), Fraction(data["value"]))
                        self.values[data["name"], data["key"]].append(told)
                    case "RiskArrangementSet":
                        self.arrangements[data["practice"]].append((data["from_period"], data["arrangement"]))
                    case "PracticeParticipationChanged":
                        self.pools[data["practice"]] = data.get("pool", self.pools.get(data["practice"], ""))

    def on(self, name: str, day: date, *keys: str) -> Fraction | None:
        for key in keys:
            told = [value for value in self.values.get((name, key), ()) if value[0] <= day]
            if told:
                latest = max(first for first, _ in told)
                return [value for first, value in told if first == latest][-1]
        return None

    def not_counted(self, billed: tuple[str, date, Fraction]) -> int:
        """Cents of a biosimilar's payment: 80 % of 8 % less 6 % of its reference product's price, where it is known."""
        code, day, units = billed
        price = self.on("reference_asp", day, code)
        return 0 if price is None else half_up(units * price * Fraction(2, 100) * Fraction(80, 100) * 100)

    def arrangement(self, practice: str, period: int) -> str:
        told = [one for one in self.arrangements.get(practice, ()) if one[0] <= period]
        return max(told, key=lambda one: one[0])[1] if told else ""


def settle(population: Population, figures: Figures, period: int) -> dict[str, Result]:
    """Every practice's result of a period, by its number."""
    first = period_first(period)
    results: dict[str, Result] = defaultdict(Result)
    for _, practice, paid, of, what in population.lines:
        if of == period and what == "back" and paid > 0:
            results[practice].recouped += paid
    for account in population.accounts:
        if account.period == period and account.settles:
            _price(account, figures, period, first)
            results[account.episode.practice].episodes.append(account)
    for practice in list(results):
        for cancer in sorted({a.episode.cancer_type for a in results[practice].episodes}):
            alike = [a for a in results[practice].episodes if a.episode.cancer_type == cancer]
            results[practice].novel += raised(alike, figures, first, f"{period}/{cancer}") > 1
    groups: dict[str, list[str]] = defaultdict(list)
    last = period_first(period + 1) - ONE
    for practice, told in sorted(population.spans.items()):
        if any(takes_part(told, first + ONE * n) for n in range((last - first).days + 1)):
            pool = figures.pools.get(practice, "")
            groups[pool or practice].append(practice)
    for practices in groups.values():
        there = [practice for practice in practices if results[practice].episodes]
        if there:
            _reconcile(results, there, figures, period, first)
    return results


def _price(account: Account, figures: Figures, period: int, first: date) -> None:
    episode = account.episode
    cancer, practice, day = episode.cancer_type, episode.practice, episode.start
    cost = account.cost - sum(map(figures.not_counted, account.biosimilars))
    account.counted = cost
    low, high = (figures.on(f"winsor_{side}", first, f"{period}/{cancer}") for side in ("low", "high"))
    if low is not None and cost < low * 100:
        account.counted = half_up(low * 100)
    elif high is not None and cost > high * 100:
        account.counted = half_up(high * 100)
    base = figures.on("baseline_price", day, f"{practice}/{cancer}", cancer)
    experience = figures.on("experience_adjuster", day, f"{practice}/{cancer}", practice)
    trend = figures.on("trend_factor", first, f"{period}/{cancer}")
    assert base is not None and experience is not None and trend is not None
    account.exact = base * experience * account.factors * trend * 100
    account.trended = account.benchmark = half_up(account.exact)


def raised(accounts: list[Account], figures: Figures, first: date, key: str) -> Fraction:
    """Benchmarks of some of a practice's episodes by what novel drugs cost more than elsewhere; the factor."""
    share = figures.on("novel_comparison_share", first, key)
    actual, trended = sum(a.counted for a in accounts), sum(a.trended for a in accounts)
    if share is None or actual <= 0 or trended <= 0:
        return Fraction(1)
    for account in accounts:
        cancer = account.episode.cancer_type
        cost = [paid for code, day, paid in account.drugs if figures.on("novel_drug", day, f"{cancer}/{code}") == 1]
        account.novel = half_up(sum(cost, Fraction(0)))
    add_on = Fraction(8, 10) * max(Fraction(0), sum(a.novel for a in accounts) - share * actual)
    factor = Fraction(half_up((trended + add_on) / trended * 10**7), 10**7)
    for account in accounts:
        account.benchmark = half_up(account.exact * factor)
    return factor


def quality(accounts: list[Account], figures: Figures, practices: dict[str, int], period: int) -> Fraction | None:
    """Per cent, cut to six decimals."""
    first = period_first(period)

    def told(name: str, key: str) -> Fraction | None:
        known = [(figures.on(name, first, f"{p}/{key}"), n) for p, n in practices.items() if n]
        if not known or any(value is None for value, _ in known):
            return None
        return Fraction(sum(value * n for value, n in known if value is not None)) / sum(n for _, n in known)

    score = told("quality_score", f"{period}")
    if score is None:
        earned, possible = Fraction(0), 0
        treated, died = [a for a in accounts if a.treated], [a for a in accounts if a.died]
        rates: dict[str, tuple[int, int]] = {
            "EOM-1a": (sum(a.admitted for a in treated), len(treated)),
            "EOM-1b": (sum(a.emergency and not a.admitted for a in treated), len(treated)),
            "EOM-2": (sum(a.hospice for a in died), len(died)),
            "EOM-3": (sum(a.late_therapy for a in died), len(died)),
        }
        for measure, most in POINTS.items():
            points = told("quality_points", f"{period}/{measure}")
            if points is None and measure in rates and rates[measure][1]:
                rate = Fraction(100 * rates[measure][0], rates[measure][1])
                prefix = f"{period}/{measure}/"
                cuts = {
                    Fraction(key.removeprefix(prefix)): figures.on(name, first, key)
                    for name, key in figures.values
                    if name == "quality_cut" and key.startswith(prefix)
                }
                if cuts:
                    lower = measure in LOWER
                    reached = [p for p, c in cuts.items() if c is not None and (rate <= c if lower else rate >= c)]
                    points = max(reached, default=Fraction(0))
            if points is not None:
                earned, possible = earned + min(points, Fraction(most)), possible + most
        if not possible:
            return None
        score = 100 * earned / possible
    return Fraction(score * 10**6 // 1, 10**6)


def _reconcile(results: dict[str, Result], practices: list[str], figures: Figures, period: int, first: date) -> None:
    accounts = [a for practice in practices for a in results[practice].episodes]
    shares = [sum(a.benchmark for a in results[practice].episodes) for practice in practices]
    whole, actual = sum(shares), sum(a.counted for a in accounts)
    ra = figures.arrangement(practices[0], period)
    score = quality(accounts, figures, {p: len(results[p].episodes) for p in practices}, period)
    assert ra and score is not None
    gaf = geography(figures, practices, shares, first)
    target = whole * (1 - DISCOUNT[ra])
    threshold = whole * (Fraction(98, 100) if first < date(2025, 1, 1) else 1)
    tier = next(least for least in (75, 50, 30, 0) if score >= least)
    amount, zone = 0, "neutral"
    if actual < target:
        zone = "earned"
        factor = {75: Fraction(1), 50: Fraction(3, 4), 30: Fraction(1, 2), 0: Fraction(0)}[tier]
        amount = half_up(min(target - actual, GAIN[ra] * whole) * factor * gaf * Fraction(98, 100))
    elif actual > threshold:
        zone = "owed"
        factor = {75: Fraction(90, 100), 50: Fraction(95, 100), 30: Fraction(1), 0: Fraction(1)}[tier]
        amount = -half_up(min(actual - threshold, LOSS[ra] * whole) * factor * gaf)
    for practice, part in zip(practices, divided(amount, shares), strict=True):
        result = results[practice]
        result.share, result.zone, result.arrangement, result.tier = part, zone, ra, tier


def geography(figures: Figures, practices: list[str], weights: list[int], first: date) -> Fraction:
    """A practice's factor; of several weighted by benchmark, to seven decimals."""
    factors = [figures.on("geographic_adjustment", first, practice) for practice in practices]
    weighted = sum((f * weight for f, weight in zip(factors, weights, strict=True) if f is not None), Fraction(0))
    mean = weighted / sum(weights)
    return mean if len(practices) == 1 else Fraction(half_up(mean * 10**7), 10**7)


def divided(amount: int, weights: list[int]) -> list[int]:
    """Cents by weight, what is left to the largest remainders."""
    size, sign, whole = abs(amount), 1 if amount >= 0 else -1, sum(weights)
    parts = [size * weight // whole for weight in weights]
    left = sorted(range(len(parts)), key=lambda i: (-(size * weights[i] % whole), i))
    for i in left[: size - sum(parts)]:
        parts[i] += 1
    return [sign * part for part in parts]
