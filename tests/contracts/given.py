"""Given facts, then what was decided: short dictionaries become facts, and a log of one partition is folded in order.

A fact's kind is its first key, whose value is its day or its name:

    {drug = 2025-01-10}  {visit = 2025-01-12, at = "P2"}  {meos = 2025-02-01}  {fill = 2025-01-10, ndc = "..."}
    {outpatient = 2025-01-10, code = "J9035"}  {inpatient = 2025-03-01, paid = 9000}
    {void = "c1"}  {void = "c1", unnamed = true, only = [2]}  {replace = "c1", drug = 2025-01-20}  {adjust = "c1", ...}
    {covered = "part_a", from = 2020-01-01}  {uncovered = "part_b", from = 2025-03-01}  {died = 2025-04-01}
    {schedule = 2024-01-01, hours = 40}  {hours = 2025-01-10, worked = 8, code = "worked"}  {born = 1970}
    {workdays = 2025-01-06, through = 2025-02-28, worked = 8}  (one fact of hours for each Monday to Friday)
    {leave = 2025-02-03, through = 2025-03-14}  {disability = 2025-02-03, plan = "STD", status = "approved"}
    {reported = 2025-03-17, source = "carrier", duty = "full"}  {employment = 2025-04-01, status = "retired"}
    {practice = "P1", from = 2023-07-01}  {closed = 2025-01-31}  {terms = "2026.2", care_fee = 90}  {retired = "other"}

`id` names a claim for later ones (`c1`, `c2`, ... by position when absent), or a record of work, whose version is `v`;
amounts are dollars. Every member has
Parts A and B (or its plan) from 2020 on, and practices P1 to P3 participate, unless a case says `bare`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from contracts.envelope import Fact
from contracts.events import (
    ContractAdopted,
    DayClosed,
    DisabilityClaimChanged,
    EmploymentChanged,
    EnrollmentChanged,
    Event,
    HoursWorked,
    InstitutionalClaimReceived,
    LeaveChanged,
    MemberDescribed,
    MemberRetired,
    PharmacyClaimReceived,
    PracticeParticipationChanged,
    ProfessionalClaimReceived,
    ReturnToWorkReported,
    TermsAdopted,
    WorkScheduleSet,
    stored,
)
from contracts.fold import Fold
from contracts.outcome import Outcome, Payment
from contracts.parts import Adoption, Member
from contracts.recoupment_risk import KIND as AT_RISK
from contracts.roster import bundled_sheet, contract_digest, fold_for
from contracts.terms import digest_of

PAYERS = {"medicare-eom": "medicare", "ocm": "medicare", "bcbs-sc": "bcbs-sc", "employer": "employers"}
CODES = {"drug": "J9035", "visit": "99214", "meos": "M0010", "month_of_ocm": "G9678"}
SETTINGS = {"outpatient", "inpatient", "skilled_nursing", "home_health", "hospice"}
BREAST, OTHER_FILL, BREAST_FILL = "C50911", "00002750101", "00054016401"
CLAIMS = (ProfessionalClaimReceived, InstitutionalClaimReceived, PharmacyClaimReceived)
BROADCASTS = (DayClosed, PracticeParticipationChanged, TermsAdopted, ContractAdopted)

Data = dict[str, Any]
Said = tuple[type[Event], Data]


def cents(dollars: Any) -> int:
    """Dollars as cents, exactly."""
    return int(Decimal(str(dollars)) * 100)


def plain(day: Any) -> str:
    """A day as ISO text."""
    return day.isoformat() if isinstance(day, date) else str(day)


class Teller:
    """Turns short dictionaries into events, remembering claims by name; a void may name one that comes later."""

    def __init__(self, contract: str, given: Iterable[Data]) -> None:
        self.contract = contract
        self.claims: dict[str, Said] = {}
        self.given: list[Data] = []
        for i, short in enumerate(spelled_out(given), 1):
            named = {"id": f"c{i}", **short}
            self.given.append(named)
            kind = next(iter(short))
            if kind in CODES or kind in SETTINGS or kind in ("fill", "claim"):
                self.claims[named["id"]] = self._claim(kind, dict(named))

    def tell(self) -> list[Said]:
        """All events, in the order given."""
        return [self._one(short) for short in self.given]

    def _one(self, short: Data) -> Said:
        rest = dict(short)
        name = rest.pop("id")
        kind = next(iter(rest))
        if name in self.claims and kind not in ("void", "replace", "adjust"):
            return self.claims[name]
        value = rest.pop(kind)
        if kind in WORK:
            return _work(kind, name, plain(value), rest)
        through = plain(rest["through"]) if rest.get("through") else None
        since = plain(rest.get("from", "2020-01-01"))
        match kind:
            case "void":
                return self._void(name, value, rest)
            case "replace" | "adjust":
                return self._newer(kind, name, value, rest)
            case "covered" | "uncovered":
                yes, code = kind == "covered", rest.get("code")
                return EnrollmentChanged, {
                    "coverage": value,
                    "from_on": since,
                    "through_on": through,
                    "covered": yes,
                    "code": code,
                }
            case "born":
                return MemberDescribed, {"birth_year": value}
            case "died":
                return MemberDescribed, {"died_on": plain(value)}
            case "retired":
                return MemberRetired, {"survivor": value}
            case "practice":
                yes = rest.get("participates", True)
                return PracticeParticipationChanged, {
                    "practice": value,
                    "from_on": since,
                    "through_on": through,
                    "participates": yes,
                }
            case "closed":
                return DayClosed, {"through_on": plain(value)}
            case "terms":
                return TermsAdopted, terms(self.contract, value, rest)
            case _:
                raise AssertionError(f"no fact is called {kind}")

    def _claim(self, kind: str, rest: Data) -> Said:
        on, name = plain(rest.pop(kind)), rest.pop("id")
        head: Data = {"claim_id": name, "family": rest.pop("family", name), "action": "original", "replaces": None}
        head["effective_on"] = plain(rest.pop("effective", on))
        for key in ("denied", "primary_payer"):
            if key in rest:
                head[key] = rest.pop(key)
        if kind == "fill":
            data = head | {
                "filled_on": on,
                "ndc": str(rest.pop("ndc", OTHER_FILL)),
                "paid_cents": cents(rest.pop("paid", 0)),
            }
            for key in ("low_income_subsidy", "above_threshold"):
                data[f"{key}_cents"] = cents(rest.pop(key, 0))
            model: type[Event] = PharmacyClaimReceived
        elif kind in SETTINGS:
            model, data = InstitutionalClaimReceived, head | self._facility(kind, on, rest)
        else:
            model = ProfessionalClaimReceived
            lines = rest.pop("lines", [{}])
            shared = {key: rest.pop(key) for key in list(rest) if key in LINE_KEYS}
            data = head | {"from_on": on, "through_on": on, "billing_tin": rest.pop("at", "P1")}
            data["diagnoses"] = rest.pop("header", [])
            data["supplier"] = rest.pop("supplier", "physician")
            data["lines"] = [_line(kind, on, i, shared | line) for i, line in enumerate(lines, 1)]
        assert not rest, f"{kind} has no {', '.join(rest)}"
        return model, data

    @staticmethod
    def _facility(kind: str, on: str, rest: Data) -> Data:
        line: Data = {"line": 1, "service_on": plain(rest.pop("line_on", on)), "code": rest.pop("code", None)}
        line["charge_cents"] = cents(rest.pop("charge", 100))
        line["noncovered_cents"] = cents(rest.pop("noncovered", 0))
        line["denied"] = rest.pop("line_denied", False)
        data: Data = {"setting": kind, "from_on": on, "through_on": plain(rest.pop("through", on)), "lines": [line]}
        data["admitted_on"] = plain(rest.pop("admitted")) if "admitted" in rest else None
        data["diagnoses"] = [rest.pop("dx", BREAST)]
        data["procedures"] = rest.pop("procedures", [])
        data["paid_cents"] = cents(rest.pop("paid", 100))
        if "standardized" in rest:
            data["standardized_cents"] = cents(rest.pop("standardized"))
        return data

    def _void(self, name: str, target: str, rest: Data) -> Said:
        model, original = self.claims[target]
        data = copy.deepcopy(original) | {"claim_id": name, "action": "void", "replaces": target}
        if rest.get("unnamed"):
            data["replaces"] = None
        if "only" in rest:
            data["lines"] = [line for line in data["lines"] if line["line"] in rest["only"]]
        data["effective_on"] = plain(rest.get("effective", later(original["effective_on"], 30)))
        return model, data

    def _newer(self, kind: str, name: str, target: str, rest: Data) -> Said:
        effective = rest.pop("effective", None)
        family = self.claims[target][1]["family"] if target in self.claims else target
        first = next(iter(rest))
        model, data = self._claim(first, {**rest, "id": name, "family": family})
        data["action"] = "replacement" if kind == "replace" else "adjustment"
        data["replaces"] = target if kind == "replace" else None
        of = self.claims[target][1]["effective_on"] if target in self.claims else data["effective_on"]
        data["effective_on"] = plain(effective or later(of, 30))
        self.claims[name] = model, data
        return model, data


WORK = {"schedule", "hours", "leave", "disability", "reported", "employment"}


def spelled_out(given: Iterable[Data]) -> Iterable[Data]:
    """`workdays` as one fact of hours for each Monday to Friday."""
    for short in given:
        if "workdays" not in short:
            yield short
            continue
        rest = {key: value for key, value in short.items() if key not in ("workdays", "through", "id")}
        day, last = plain(short["workdays"]), plain(short["through"])
        while day <= last:
            if date.fromisoformat(day).weekday() < 5:
                yield {"hours": day, "id": f"{short.get('id', 'h')}{day}", **rest}
            day = later(day, 1)


def _work(kind: str, name: str, on: str, rest: Data) -> Said:
    """A record of work."""
    through = plain(rest["through"]) if rest.get("through") else None
    record: Data = {"record_version": rest.get("v", 1)}
    match kind:
        case "schedule":
            return WorkScheduleSet, record | {"record_id": name, "from_on": on, "weekly_hours": str(rest["hours"])}
        case "hours":
            hours, code = str(rest.get("worked", 8)), rest.get("code", "worked")
            return HoursWorked, record | {"record_id": name, "worked_on": on, "hours": hours, "pay_code": code}
        case "leave":
            said = {"status": rest.get("status", "opened"), "continuity": rest.get("continuity", "continuous")}
            span = {"leave_id": name, "leave_type": "fmla", "from_on": on, "through_on": through}
            return LeaveChanged, record | span | said
        case "disability":
            said = {"plan_type": rest.get("plan", "STD"), "status": rest.get("status", "approved")}
            benefit = plain(rest["benefit"]) if "benefit" in rest else None
            span = {"disability_on": on, "benefit_from_on": benefit, "approved_through_on": through}
            return DisabilityClaimChanged, record | {"claim_id": name} | span | said
        case "reported":
            said = {"source": rest.get("source", "carrier"), "duty_status": rest.get("duty", "full")}
            more = {"restrictions": rest.get("restrictions", [])}
            return ReturnToWorkReported, record | {"record_id": name, "returned_on": on} | said | more
        case _:
            said = {"status": rest["status"], "reason": rest.get("reason")}
            return EmploymentChanged, record | {"record_id": name, "from_on": on} | said


LINE_KEYS = {
    "code", "dx", "paid", "allowed", "standardized", "pos", "rendering", "line_denied", "charge", "noncovered",
    "line_on",
}  # fmt: skip


def _line(kind: str, on: str, number: int, line: Data) -> Data:
    """One professional line; an allowed amount is its paid amount unless said."""
    paid = line.get("paid", 100)
    dx = line.get("dx", BREAST)
    data: Data = {
        "line": number,
        "service_on": plain(line.get("line_on", on)),
        "code": line.get("code", CODES.get(kind)),
        "diagnoses": [dx] if dx else [],
        "paid_cents": cents(paid),
        "allowed_cents": cents(line.get("allowed", paid)),
        "place_of_service": line.get("pos", "11"),
        "denied": line.get("line_denied", False),
    }
    if "standardized" in line:
        data["standardized_cents"] = cents(line["standardized"])
    if "rendering" in line:
        data["rendering_tin"] = line["rendering"]
    return data


def later(day: str, days: int) -> str:
    """The ISO day so many days later."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def terms(contract: str, version: str = "", changed: Data | None = None) -> Data:
    """The data of `TermsAdopted`: the bundled sheet, some terms changed for all days, or from the days named."""
    held, digest, content = bundled_sheet(contract)
    if not changed and version in ("", held):
        return {"contract": contract, "sheet_version": held, "digest": digest, "content": content}
    changed = dict(changed or {})
    plan = changed.pop("plan", "")
    content = copy.deepcopy(content)
    content["sheet"]["version"] = version
    for term, value in changed.items():
        dated = value if isinstance(value, dict) else {"2000-01-01": value}
        content["terms"][term]["values"] = [{"from": plain(day), "value": plain(one)} for day, one in dated.items()]
    return {
        "contract": contract,
        "plan": plan,
        "sheet_version": version,
        "digest": digest_of(content),
        "content": content,
    }


@cache
def model_of(model: type[Event]) -> type[Event]:
    """The stored model."""
    return stored(model)


@dataclass(slots=True)
class Log:
    """One partition of a payer's log, being written: each fact gets the next offset, and an id of its own."""

    contract: str
    facts: list[Fact] = field(default_factory=list)

    def say(self, model: type[Event], data: Data, member: str = "m1", plan: str = "") -> Fact:
        """Append one fact."""
        offset = len(self.facts)
        name = str(uuid5(NAMESPACE_OID, f"{self.contract}|{offset}"))
        event = model_of(model).model_validate_json(json.dumps(data, default=str))
        about = "" if model in BROADCASTS else member
        payer = PAYERS[self.contract]
        topic = f"carepact.{payer}.events.v1"
        fact = Fact(name, name, model.type_name(), about, plan, event, topic, 0, offset, 0, "")
        self.facts.append(fact)
        return fact

    def opened(self, bare: bool = False) -> Log:
        """Adopt terms and clauses, and unless `bare` let P1 to P3 take part."""
        self.say(TermsAdopted, terms(self.contract))
        self.say(
            ContractAdopted, {"contract": self.contract, "digest": contract_digest(self.contract), "build": "test"}
        )
        for name in () if bare else ("P1", "P2", "P3"):
            since = "2016-07-01" if self.contract == "ocm" else "2023-07-01"
            self.say(PracticeParticipationChanged, {"practice": name, "from_on": since})
        return self

    def enrolled(self, member: str = "m1", plan: str = "") -> Log:
        """Cover a member from 2015 on."""
        for kind in ("part_a", "part_b") if PAYERS[self.contract] == "medicare" else ("plan",):
            self.say(EnrollmentChanged, {"coverage": kind, "from_on": "2015-01-01"}, member, plan)
        return self

    def told(self, given: Iterable[Data], member: str = "m1", plan: str = "") -> Log:
        """Append what short dictionaries say."""
        for model, data in Teller(self.contract, given).tell():
            self.say(model, data, member, plan)
        return self


class Folded:
    """A log folded in memory, fact by fact, with all parts at hand; what each fact decided is kept in order."""

    def __init__(self, contract: str, facts: Iterable[Fact] = ()) -> None:
        self.fold: Fold = fold_for(contract, PAYERS[contract], Adoption())
        self.payer = PAYERS[contract]
        self.members: dict[str, Member] = {}
        self.outcomes: list[Outcome] = []
        for fact in facts:
            self.take(fact)

    def take(self, fact: Fact) -> Outcome:
        """Fold one fact."""
        outcome = Outcome()
        if fact.member:
            outcome = self.fold.apply(self.member(fact.member), fact)
        elif (sweep := self.fold.adopt(fact)) is not None:
            for token in sorted(self.members):
                member = self.members[token]
                due = self.fold.due_on(member)
                if sweep.everyone or (due and due <= sweep.due_through):
                    outcome.add(self.fold.revisit(member, fact))
        self.outcomes.append(outcome)
        return outcome

    def member(self, token: str) -> Member:
        """The working copy of a member, everything loaded."""
        if token not in self.members:
            self.members[token] = Member(self.payer, 0, token)
            self.members[token].since = ""
        return self.members[token]


@dataclass(slots=True)
class Standing:
    """What all outcomes of a log add up to, read as a projection would: from rows alone."""

    episodes: dict[str, Data]
    payments: dict[str, Payment]
    in_force: dict[str, Payment]
    expenditure: dict[str, int]
    returns: dict[str, Data] = field(default_factory=dict)

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Standing:
        """Add outcomes up; every reversal must be the exact negative of a payment in force."""
        standing = cls({}, {}, {}, {})
        for outcome in outcomes:
            for version in outcome.episodes:
                held = standing.episodes.get(version.episode_id)
                assert version.version == (held["version"] if held else 0) + 1, "versions count up by one"
                standing.episodes[version.episode_id] = {
                    name: getattr(version, name) for name in type(version).__dataclass_fields__
                }
            for spend in outcome.spends:
                total = standing.expenditure.get(spend.episode_id, 0) + spend.delta_cents
                assert total == spend.total_cents, "deltas add up to the total"
                standing.expenditure[spend.episode_id] = total
            for followed in outcome.returns:
                before = standing.returns.get(followed.episode_id)
                assert followed.version == (before["version"] if before else 0) + 1, "versions count up by one"
                standing.returns[followed.episode_id] = {
                    name: getattr(followed, name) for name in type(followed).__dataclass_fields__
                }
            for payment in outcome.payments:
                standing.pay(payment)
        return standing

    def pay(self, payment: Payment) -> None:
        """Add one payment or reversal."""
        assert payment.payment_id not in self.payments, "an id is used once"
        self.payments[payment.payment_id] = payment
        assert sum(line["amount_cents"] for line in payment.event["lines"]) == payment.amount_cents
        if payment.kind == AT_RISK:  # a warning, which moves nothing and says what was known when a day closed
            assert payment.amount_cents == 0
            return
        if not payment.reverses:
            self.in_force[payment.payment_id] = payment
            return
        old = self.in_force.pop(payment.reverses)
        assert payment.amount_cents == -old.amount_cents
        assert (payment.kind, payment.period, payment.practice, payment.episode_id) == (
            old.kind, old.period, old.practice, old.episode_id,
        )  # fmt: skip

    @property
    def live(self) -> list[Data]:
        """Episodes that stand (not cancelled), by their start."""
        found = [e for e in self.episodes.values() if e["status"] != "cancelled"]
        return sorted(found, key=lambda e: (e["member"], e["started_on"]))

    def net(self) -> dict[tuple[str, str, str], int]:
        """Cents by (episode, kind, period), zero sums left out."""
        sums: dict[tuple[str, str, str], int] = {}
        for payment in self.payments.values():
            key = (payment.episode_id, payment.kind, payment.period)
            sums[key] = sums.get(key, 0) + payment.amount_cents
        return {key: amount for key, amount in sums.items() if amount}

    def final(self) -> Data:
        """What must not depend on the order of claims: live episodes, amounts in force, expenditures."""
        same = ("member", "started_on", "ends_on", "period", "cancer_type", "status", "void_reason", "included",
                "exclusion", "practice", "closed")  # fmt: skip
        return {
            "episodes": [{name: e[name] for name in same} for e in self.live],
            "payments": sorted(
                (p.episode_id, p.kind, p.period, p.practice, p.amount_cents) for p in self.in_force.values()
            ),
            "returns": sorted(
                [value for name, value in one.items() if name not in ("version", "offset", "cause_event")]
                for one in self.returns.values()
                if one["eligible"]
            ),
            "expenditure": {e["started_on"]: self.expenditure.get(e["episode_id"], 0) for e in self.live},
        }
