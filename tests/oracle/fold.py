"""An independent fold of generated files: what the product must come to, worked out another way.

Nothing of the product is imported: JSON and csv from the standard library, days as dates, a whole member at a time with
every claim at hand, no order of arrival but where coverage needs it. The rules stand in words beside each.
`payer` is medicare, bcbs-sc or employers.
"""

from __future__ import annotations

import csv
import json
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

VALUE_SETS = Path(__file__).parents[2] / "contracts" / "value_sets"
FIRST_ON, LAST_ON = date(2023, 7, 1), date(2029, 12, 31)
LOOKBACK = timedelta(days=59)
ONE = timedelta(days=1)
FOREVER = date(9999, 12, 31)
FULL_DUAL = {"02", "04", "08"}
CARE_FEE_CENTS = {"bcbs-sc": 8_500, "employers": 9_500}

Member = tuple[str, str, str]
"""(plan, kind of identifier, identifier)."""


@dataclass
class Episode:
    """What an episode comes to, with the cents of each paid month."""

    member: Member
    start: date
    end: date
    source: str
    cancer_type: str
    status: str = "valid"
    void_reason: str = ""
    exclusion: str = ""
    practice: str = ""
    visits: int = 0
    months: dict[str, int] = field(default_factory=dict)
    facts: Facts | None = None

    @property
    def included(self) -> bool:
        return self.status == "valid" and not self.exclusion

    @property
    def cents(self) -> int:
        return sum(self.months.values())


@dataclass
class Folded:
    """All episodes of a payer, and what was seen on the way."""

    payer: str
    episodes: list[Episode]
    events: int
    duplicates: int
    members: int
    saw: Counter[str]

    @property
    def months(self) -> int:
        return sum(len(e.months) for e in self.episodes)

    @property
    def cents(self) -> int:
        return sum(e.cents for e in self.episodes)

    def reasons(self) -> Counter[str]:
        return Counter(e.void_reason or e.exclusion or "included" for e in self.episodes)


def fold(payer: str, events: Path, practices: Path | None = None, closed_through: str = "") -> Folded:
    """Fold one payer's file. `closed_through` matters to monthly care fees only."""
    codes = Codes()
    saw: Counter[str] = Counter()
    places: dict[Member, array[int]] = defaultdict(lambda: array("q"))
    seen: set[str] = set()
    duplicates = 0
    for at, event in located(events):
        if event["id"] in seen:
            duplicates += 1
            continue
        seen.add(event["id"])
        identifier = event["data"]["person"]["identifier"]
        places[event.get("plan", ""), identifier["kind"], identifier["value"]].append(at)
    participation = participating(practices) if practices else {}
    closed = date.fromisoformat(closed_through) if closed_through else date.min
    episodes: list[Episode] = []
    with events.open("rb") as file:
        for member, starts_at in places.items():
            facts = Facts()
            for at in starts_at:
                file.seek(at)
                facts.take(json.loads(file.readline()))
            episodes += of_member(payer, member, facts, codes, participation, closed, saw)
    return Folded(payer, episodes, len(seen), duplicates, len(places), saw)


def located(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The events of a file and where each begins; lines that were spoiled on purpose are not events."""
    at = 0
    with path.open("rb") as lines:
        for line in lines:
            begin, at = at, at + len(line)
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if not event["id"].startswith("bad-"):
                yield begin, event


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a file."""
    return (event for _, event in located(path))


class Codes:
    """The value sets, as data."""

    def __init__(self) -> None:
        self.hcpcs = self._column("initiating_therapies_hcpcs", "code", "drug_class")
        self.ndc9 = self._column("initiating_therapies_ndc9", "code", "drug_class")
        self.cancers = self._column("cancer_types_icd10", "prefix", "cancer_type")
        self.visits = set(self._column("evaluation_and_management", "code", "status"))
        self.car_t = set(self._column("car_t", "code", "status"))
        self.days: dict[str, tuple[date, date]] = {}
        for name in ("initiating_therapies_hcpcs", "evaluation_and_management", "car_t"):
            ends = self._column(name, "code", "through")
            for code, first in self._column(name, "code", "from").items():
                last = date.fromisoformat(ends[code]) if ends[code] else FOREVER
                self.days[code] = (date.fromisoformat(first), last)

    def held(self, code: str, day: date) -> bool:
        """Whether a code of a list was one on a day of service; another is nobody's."""
        first, last = self.days.get(code, (FOREVER, FOREVER))
        return first <= day <= last

    @staticmethod
    def _column(name: str, key: str, value: str) -> dict[str, str]:
        with (VALUE_SETS / f"{name}.csv").open(newline="") as file:
            return {row[key]: row[value] for row in csv.DictReader(file)}

    def cancer(self, code: str) -> str:
        return next((self.cancers[code[:n]] for n in (4, 3) if code[:n] in self.cancers), "")


class Facts:
    """A member's facts, sorted by what they are, each list in the order of arrival."""

    def __init__(self) -> None:
        self.families: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self.coverage: dict[str, list[tuple[date, date, bool, str]]] = defaultdict(list)
        self.died: date | None = None
        self.born = 0
        self.work: list[tuple[str, dict[str, Any]]] = []

    def take(self, event: dict[str, Any]) -> None:
        kind, data = event["type"].split(".")[1], event["data"]
        match kind:
            case "ProfessionalClaimReceived" | "InstitutionalClaimReceived" | "PharmacyClaimReceived":
                self.families[kind, data["family"]].append(data)
            case "EnrollmentChanged":
                through = date.fromisoformat(data["through_on"]) if data.get("through_on") else FOREVER
                start = date.fromisoformat(data["from_on"])
                self.coverage[data["coverage"]].append(
                    (start, through, data.get("covered", True), data.get("code", ""))
                )
            case (
                "WorkScheduleSet" | "HoursWorked" | "LeaveChanged" | "DisabilityClaimChanged"
                | "ReturnToWorkReported" | "EmploymentChanged"
            ):  # fmt: skip
                self.work.append((kind, data))
            case "MemberDescribed":
                self.born = data.get("birth_year") or self.born
                if data.get("died_on"):
                    self.died = date.fromisoformat(data["died_on"])

    def covered(self, coverage: str, day: date) -> str | None:
        """The code of the newest fact that names the day, if it says that there is coverage."""
        for start, through, yes, code in reversed(self.coverage.get(coverage, ())):
            if start <= day <= through:
                return code if yes else None
        return None

    def days_covered(self, coverage: str, first: date, last: date) -> int:
        if coverage not in self.coverage:
            return 0
        return sum(self.covered(coverage, first + ONE * i) is not None for i in range((last - first).days + 1))


# Final action (outcome rules D.5)


def survivors(kind: str, records: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(record, line) of all that counts. Facilities' claims and fills have one line: the claim itself."""

    def lines(record: dict[str, Any]) -> list[dict[str, Any]]:
        return (
            record["lines"]
            if kind == "ProfessionalClaimReceived"
            else [{"line": 0, "paid_cents": record["paid_cents"]}]
        )

    units = [(i, j) for i, r in enumerate(records) if r["action"] != "void" for j in range(len(lines(r)))]
    gone: set[tuple[int, int]] = set()
    for k, newer in enumerate(records):
        if newer["action"] == "replacement" and "replaces" in newer:
            gone |= {(i, j) for i, j in units if i != k and records[i]["claim_id"] == newer["replaces"]}
    voids = sorted(
        (r for r in records if r["action"] == "void"),
        key=lambda r: ("replaces" not in r, r["effective_on"], r["claim_id"]),
    )
    for void in voids:
        for line in lines(void):
            fits = [
                (records[i]["effective_on"], records[i]["claim_id"], i, j)
                for i, j in units
                if (i, j) not in gone
                and lines(records[i])[j]["line"] == line["line"]
                and (
                    records[i]["claim_id"] == void["replaces"]
                    if "replaces" in void
                    else lines(records[i])[j]["paid_cents"] == line["paid_cents"]
                )
            ]
            if fits:
                gone.add(min(fits)[2:])
    for i, j in units:
        line = lines(records[i])[j]
        if (i, j) not in gone and not records[i].get("denied") and not line.get("denied"):
            yield records[i], line


# Evidence


@dataclass
class Evidence:
    """What a member's surviving claims show."""

    therapies: list[tuple[date, int, str, str, str]] = field(default_factory=list)  # day, rank, claim, cancer, class
    fills: list[tuple[date, str, str]] = field(default_factory=list)  # day, claim, class
    diagnosed: list[tuple[date, str]] = field(default_factory=list)  # day, cancer
    visits: set[tuple[date, str, str]] = field(default_factory=set)  # day, practice, cancer
    services: list[tuple[date, str]] = field(default_factory=list)  # day, practice
    car_t: list[date] = field(default_factory=list)


def evidence(facts: Facts, codes: Codes, saw: Counter[str]) -> Evidence:
    """What counts of all claims. Claims on which another payer is first (A, B, G) show nothing."""
    found = Evidence()
    for (kind, _), records in facts.families.items():
        _watch(records, saw)
        for record, line in survivors(kind, records):
            if record.get("primary_payer") in ("A", "B", "G"):
                saw["another payer's claim"] += 1
            elif kind == "ProfessionalClaimReceived":
                _carrier(found, record, line, codes, saw)
            elif kind == "InstitutionalClaimReceived":
                _facility(found, record, codes, saw)
            elif (drug := codes.ndc9.get(record["ndc"][:9])) is not None:
                found.fills.append((date.fromisoformat(record["filled_on"]), record["claim_id"], drug))
    return found


def _watch(records: list[dict[str, Any]], saw: Counter[str]) -> None:
    """Which rows of the table of D.5 a family shows."""
    actions = [r["action"] for r in records]
    for action in actions:
        saw[action] += 1
    originals = [r for r in records if r["action"] == "original"]
    saw["two originals"] += len(originals) > 1
    saw["same content twice"] += len(records) > 1 and len({json.dumps(r) for r in records}) < len(records)
    saw["denied claim"] += any(r.get("denied") for r in records)
    saw["denied line"] += any(ln.get("denied") for r in records for ln in r.get("lines", ()))
    saw["void without original"] += "void" in actions and len(actions) == 1
    if len(records) > 1 and originals:
        first = actions.index("original")
        saw["void before original"] += "void" in actions[:first]
        saw["replacement before original"] += "replacement" in actions[:first]
        lines = {len(r.get("lines", ())) for r in originals}
        saw["partial void"] += any(r["action"] == "void" and 0 < len(r.get("lines", ())) < min(lines) for r in records)
    paid = sum(
        (-1 if r["action"] == "void" else 1) * sum(ln.get("paid_cents", 0) for ln in r.get("lines", ()))
        for r in records
        if r["action"] != "replacement"
    )
    saw["negative family"] += paid < 0 and "adjustment" in actions
    lag = min(date.fromisoformat(r["effective_on"]).toordinal() for r in records) - _service(records[0]).toordinal()
    saw["late"] += lag > 60


def _service(record: dict[str, Any]) -> date:
    return date.fromisoformat(record.get("from_on") or record["filled_on"])


def _carrier(found: Evidence, record: dict[str, Any], line: dict[str, Any], codes: Codes, saw: Counter[str]) -> None:
    """Therapy: allowed above 0, not in hospital, a cancer on any undenied line or in the header after Z51.11/12."""
    day, code = date.fromisoformat(line["service_on"]), line["code"]
    physician = record.get("supplier", "physician") == "physician"
    cancer = codes.cancer(line["diagnoses"][0]) if line["diagnoses"] else ""
    if cancer and physician:
        found.diagnosed.append((day, cancer))
        if code in codes.visits and codes.held(code, day):
            found.visits.add((day, line["rendering_tin"], cancer))
    if code == "M0010":
        found.services.append((day, record["billing_tin"]))
    if code in codes.hcpcs and codes.held(code, day):
        on_claim = [
            c for ln in record["lines"] if not ln.get("denied") for d in ln["diagnoses"][:1] if (c := codes.cancer(d))
        ]
        if record["diagnoses"][:1] and record["diagnoses"][0] in ("Z5111", "Z5112"):
            on_claim += [c for d in record["diagnoses"] if (c := codes.cancer(d))]
            saw["encounter code"] += 1
        if line["place_of_service"] == "21":
            saw["in hospital"] += 1
        elif on_claim and line["allowed_cents"] > 0:
            rank = 1 if physician else 2
            found.therapies.append((day, rank, record["claim_id"], cancer or on_claim[0], codes.hcpcs[code]))


def _facility(found: Evidence, record: dict[str, Any], codes: Codes, saw: Counter[str]) -> None:
    """Therapy: an outpatient line with covered charges, and a cancer in the header."""
    cancer = next((c for d in record["diagnoses"] if (c := codes.cancer(d))), "")
    outpatient = record["setting"] == "outpatient"
    if cancer and outpatient:
        found.diagnosed.append((date.fromisoformat(record["from_on"]), cancer))
    for line in record.get("lines", ()):
        day, code = date.fromisoformat(line["service_on"]), line["code"]
        if code in codes.hcpcs and codes.held(code, day) and cancer and outpatient:
            if line["charge_cents"] - line.get("noncovered_cents", 0) > 0:
                found.therapies.append((day, 0, record["claim_id"], cancer, codes.hcpcs[code]))
            else:
                saw["not covered"] += 1
        if code in codes.car_t and codes.held(code, day):
            found.car_t.append(day)
    came = date.fromisoformat(record.get("admitted_on") or record["from_on"])
    if any(p in codes.car_t and codes.held(p, came) for p in record.get("procedures", ())):
        found.car_t.append(came)


# Episodes (EOM 1.2 to 1.7)


def of_member(
    payer: str,
    member: Member,
    facts: Facts,
    codes: Codes,
    participation: dict[str, list[tuple[date, date, bool]]],
    closed: date,
    saw: Counter[str],
) -> list[Episode]:
    """A member's episodes, each judged and paid."""
    e = evidence(facts, codes, saw)
    episodes = []
    for start, source, cancer in starts(e, saw):
        episode = Episode(member, start, end_of(start), source, cancer)
        visits = [v for v in e.visits if episode.start <= v[0] <= episode.end]
        episode.visits = len(visits)
        episode.cancer_type = cancer_type(visits) or cancer
        episode.practice = practice(visits)
        episode.facts = facts if payer == "employers" else None
        episode.void_reason = void_reason(payer, episode, facts, e)
        if episode.void_reason:
            episode.status = "void"
        elif payer == "medicare":
            episode.exclusion = exclusion(episode, e)
            if episode.included:
                episode.months = meos(episode, facts, e, participation, saw)
        else:
            episode.months = care_fees(payer, episode, facts, closed)
        episodes.append(episode)
    return episodes


def end_of(start: date) -> date:
    """Six calendar months less a day, clamped to the month's end; before the model, no later than its eve."""
    year, month = divmod(start.year * 12 + start.month - 1 + 6, 12)
    last = (date(year + (month == 11), (month + 1) % 12 + 1, 1) - ONE).day
    end = date(year, month + 1, min(start.day, last)) - ONE
    return min(end, FIRST_ON - ONE) if start < FIRST_ON else end


def starts(e: Evidence, saw: Counter[str]) -> Iterator[tuple[date, str, str]]:
    """First trigger, then the first after each window's end. On one day: outpatient, carrier, supplier, pharmacy."""
    triggers = [(day, rank, claim, cancer) for day, rank, claim, cancer, _ in e.therapies]
    diagnosed = sorted(e.diagnosed)
    days = [d for d, _ in diagnosed]
    for day, claim, _ in e.fills:
        before = bisect_right(days, day) - 1
        if before >= 0 and days[before] >= day - LOOKBACK:
            triggers.append((day, 3, claim, diagnosed[before][1]))
            saw["fill 59 days after a diagnosis"] += day - days[before] == LOOKBACK
        else:
            saw["fill without a diagnosis"] += 1
    end = date.min
    names = ("outpatient", "physician", "dmepos", "part_d")
    for day, rank, _, cancer in sorted(triggers):
        if day > end:
            end = end_of(day)
            beside = {(of, claim) for on, of, claim, _ in triggers if on == day}
            saw["two sources on one day"] += len({of for of, _ in beside}) > 1
            saw["two claims of a source on one day"] += len([of for of, _ in beside if of == rank]) > 1
            yield day, names[rank], cancer


def cancer_type(visits: list[tuple[date, str, str]]) -> str:
    """Most visits; the latest visit, the one before it, and so on; a type but `other`; the lowest last TIN digit."""
    by_type: dict[str, list[date]] = defaultdict(list)
    for day, _, cancer in visits:
        by_type[cancer].append(day)
    if not by_type:
        return ""
    best = max((len(days), sorted(days, reverse=True)) for days in by_type.values())
    tied = [c for c, days in by_type.items() if (len(days), sorted(days, reverse=True)) == best]
    return min(tied, key=lambda c: (c == "other", min(tin[::-1] for _, tin, k in visits if k == c), c))


def practice(visits: list[tuple[date, str, str]]) -> str:
    """The practice of the first visit if it has a quarter of all; else most visits, the latest, the lowest digit."""
    if not visits:
        return ""
    count = Counter(tin for _, tin, _ in visits)
    latest = {tin: max(d for d, t, _ in visits if t == tin) for tin in count}
    opening = min(visits)[0]
    first = min({t for d, t, _ in visits if d == opening}, key=lambda t: (-count[t], t[::-1]))
    if count[first] * 4 >= len(visits):
        return first
    return min(count, key=lambda t: (-count[t], -latest[t].toordinal(), t[::-1]))


def void_reason(payer: str, episode: Episode, facts: Facts, e: Evidence) -> str:
    """The first reason, in the order of the design, why an episode does not hold."""
    if episode.start < FIRST_ON:
        return "before_model" if payer == "medicare" else "before_contract"
    if episode.start > LAST_ON:
        return "after_model" if payer == "medicare" else "after_contract"
    if facts.died is not None and episode.start > facts.died:
        return "after_death"
    last = min(episode.end, facts.died or FOREVER)
    days = (last - episode.start).days + 1

    def every(coverage: str) -> bool:
        return facts.days_covered(coverage, episode.start, last) == days

    def any_day(coverage: str) -> bool:
        return facts.days_covered(coverage, episode.start, last) > 0

    checks: list[tuple[str, bool]] = []
    if payer == "medicare":
        checks.append(("car_t", any(episode.start <= d <= episode.end for d in e.car_t)))
        checks += [(kind, not every(kind)) for kind in ("part_a", "part_b")]
        checks += [(kind, any_day(kind)) for kind in ("medicare_advantage", "esrd", "other_primary")]
    else:
        checks += [("plan", not every("plan")), ("other_primary", any_day("other_primary"))]
    checks.append(("no_em_visit", not episode.visits))
    return next((reason for reason, holds in checks if holds), "")


def exclusion(episode: Episode, e: Evidence) -> str:
    """EOM 1.5: endocrine therapy by mouth alone in breast cancer; androgen therapy alone in prostate cancer."""
    lines = {c for d, _, _, _, c in e.therapies if episode.start <= d <= episode.end}
    fills = {c for d, _, c in e.fills if episode.start <= d <= episode.end}
    if episode.cancer_type == "breast" and not lines and fills == {"hormonal_breast"}:
        return "low_risk_breast"
    if episode.cancer_type == "prostate" and lines | fills == {"hormonal_prostate"}:
        return "low_intensity_prostate"
    return ""


# Payments


def participating(path: Path) -> dict[str, list[tuple[date, date, bool]]]:
    """Each practice's (from, through, takes part), in the order told."""
    found: dict[str, list[tuple[date, date, bool]]] = defaultdict(list)
    for event in read(path):
        data = event["data"]
        if event["type"] != "carepact.PracticeParticipationChanged.v1":
            continue
        through = date.fromisoformat(data["through_on"]) if data.get("through_on") else FOREVER
        span = (date.fromisoformat(data["from_on"]), through, data.get("participates", True))
        found[data["practice"]].append(span)
    return found


def takes_part(spans: Iterable[tuple[date, date, bool]], day: date) -> bool:
    """The newest word on the day."""
    answer = False
    for first, last, yes in spans:
        if first <= day <= last:
            answer = yes
    return answer


def meos(
    episode: Episode,
    facts: Facts,
    e: Evidence,
    participation: dict[str, list[tuple[date, date, bool]]],
    saw: Counter[str],
) -> dict[str, int]:
    """One payment for each calendar month with an M0010 line of the episode's practice, six at most."""
    base = 7_000 if episode.start < date(2025, 1, 1) else 11_000
    until = facts.died or FOREVER
    first: dict[str, date] = {}
    for day, tin in sorted(e.services):
        if not episode.start <= day <= episode.end:
            continue
        if tin != episode.practice:
            saw["service of another practice"] += 1
        elif day > until or all(facts.covered("hospice", d) is not None for d in (day - timedelta(days=1), day)):
            saw["service after death or hospice"] += 1
        elif not takes_part(participation.get(tin, ()), day):
            saw["service of one not taking part"] += 1
        elif (month := f"{day:%Y-%m}") in first:
            saw["second service in a month"] += 1
        else:
            first[month] = day
    saw["seventh month"] += len(first) > 6
    paid = {}
    for month in sorted(first)[:6]:
        full = facts.covered("dual", first[month]) in FULL_DUAL
        saw["dual addition"] += full
        paid[month] = base + (3_000 if full else 0)
    saw["of 70 dollars"] += len(paid) if base == 7_000 else 0
    saw["of 110 dollars"] += len(paid) if base == 11_000 else 0
    return paid


def care_fees(payer: str, episode: Episode, facts: Facts, closed: date) -> dict[str, int]:
    """The fee for each month whose first day lies in the episode, in life, and is closed."""
    last = min(episode.end, facts.died or FOREVER, closed)
    day, fees = date(episode.start.year, episode.start.month, 1), {}
    while day <= last:
        if day >= episode.start:
            fees[f"{day:%Y-%m}"] = CARE_FEE_CENTS[payer]
        day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return fees
