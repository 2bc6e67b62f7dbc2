"""Medicare's Enhancing Oncology Model: when an episode is valid, what is excluded, and the monthly payment.

Modelled: eligibility (EOM 1.4), CAR-T (1.3), sub-type exclusions (1.5), attribution (1.7), expenditure of Parts A, B
and D (1.8), and the MEOS payment with its months and its dual addition (2). A period's settlement is in
settlement.py, eom_period.py, quality.py and eom_settlement.py. Figures: eom.toml.
"""

from __future__ import annotations

from fractions import Fraction
from operator import attrgetter

from contracts import coverage
from contracts.attribution import Attribution, attribute
from contracts.clauses import Due, Explained, Judgement, Line, eligible_window_facts, opening_facts, waiting
from contracts.episode import Calendar, Service, Window, at_risk_until
from contracts.errors import NoTermInForce
from contracts.parts import Adoption, Episode, Member, Ref
from contracts.period import shift_days
from contracts.terms import DatedValue, TermSheet
from contracts.units import FOREVER, Weights, add_days, cents

CONTRACT = "medicare-eom"
_key = attrgetter("key")


class EomClauses:
    """EOM under one adopted sheet; methods stand in the order of the model's own rules."""

    contract = CONTRACT
    medicare = True

    def __init__(self, sheet: TermSheet) -> None:
        self.sheet = sheet
        self._first = sheet.on("initiation_first_on", FOREVER).value
        self._last = sheet.on("initiation_last_on", FOREVER).value
        self.calendar = Calendar(
            self._first,
            self._last,
            int(sheet.on("episode_months", self._first).number),
            int(sheet.on("part_d_lookback_days", self._first).number),
            shift_days(sheet),
        )
        self.services = frozenset(sheet.on("meos_code", FOREVER).value.split())
        self._dual_codes = frozenset(sheet.on("dual_codes", FOREVER).value.split())
        self._weights: dict[str, Weights] = {}

    def judge(self, member: Member, window: Window, cancer: str) -> Judgement:
        """Eligibility first, then the visit, then the sub-type; the first reason found is the one given."""
        reason = self._void_reason(member, window)
        return Judgement("void", reason) if reason else Judgement("valid", "", self._exclusion(window, cancer))

    def _void_reason(self, member: Member, window: Window) -> str:
        """EOM 1.3, 1.4: every day of the episode, or until death; losing eligibility voids, it never truncates."""
        if window.start < self._first:
            return "before_model"
        if window.start > self._last:
            return "after_model"
        if window.start > (member.head.died_on or FOREVER):
            return "after_death"  # nobody who has died is an eligible beneficiary on the day that starts an episode
        if window.cell_therapies:
            return "car_t"
        spans, last = member.head.coverage, at_risk_until(member, window.end)
        for kind in ("part_a", "part_b"):
            if coverage.throughout(spans.get(kind), window.start, last):
                return kind
        for kind in ("medicare_advantage", "esrd", "other_primary"):
            if coverage.ever(spans.get(kind), window.start, last):
                return kind
        return "" if window.visits else "no_em_visit"

    def _exclusion(self, window: Window, cancer: str) -> str:
        """EOM 1.5: endocrine therapy alone in breast cancer, androgen therapy alone in prostate cancer."""
        given = window.drugs.keys() | window.filled.keys()
        if cancer == "breast" and given == {"hormonal_breast"} and not window.drugs:
            return "low_risk_breast"
        if cancer == "prostate" and given == {"hormonal_prostate"}:
            return "low_intensity_prostate"
        return ""

    def practice(self, window: Window) -> str:
        """EOM 1.7: the first practice seen, if it furnished a quarter of the visits; else plurality."""
        if len(window.practices) <= 1:
            return next(iter(window.practices), "")
        return self.attribution(window).practice

    def attribution(self, window: Window) -> Attribution:
        """EOM 1.7, with the step that decided and the visits of each practice."""
        share = self.sheet.on("attribution_share", window.start)
        return attribute(window, share.number, self.sheet.on("attribution_ties", window.start).value)

    def expenditure_cents(self, episode: Episode) -> int:
        """EOM 1.8: (A and B paid) / 0.98 + low-income subsidy + 80 % above the threshold + counted base of MEOS.

        Standardised 9,604.00 / 0.98 = 9,800.00; subsidy 412.50 + 0.8 x 9,150.25 = 7,732.70.
        """
        start = episode.started_on
        weights = self._weights.get(start)
        if weights is None:
            weights = self._weights[start] = self._expenditure_weights(start)
        a_and_b, subsidy, above, _ = episode.spend
        months = 0
        for owed in episode.owed.values():
            months += owed.kind == "MEOS"
        return weights.cents(a_and_b, subsidy, above, months)

    def _expenditure_weights(self, start: str) -> Weights:
        paid = 1 / (1 - Fraction(self.sheet.on("sequestration", start).number))
        above = Fraction(self.sheet.on("part_d_above_threshold_share", start).number)
        counted = 100 * Fraction(self.sheet.on("meos_counted_base", max(start, self._first)).number)
        return Weights((paid, Fraction(1), above, counted), self.sheet.rounding)

    def owed(self, member: Member, episode: Episode, window: Window, adoption: Adoption) -> list[Due]:
        """EOM 2: a payment for each calendar month of enhanced services, up to six in an episode.

        Initiated 2024-11-20, full dual, six months: 6 x (70 + 30) = 600.00.
        """
        billed = self._billed_months(member, episode, window, adoption)
        if not billed:
            return []
        try:
            most = int(self.sheet.on("meos_months_max", episode.started_on).number)
            base = self.sheet.on("meos_payment", episode.started_on)
            addition = self.sheet.on("meos_dual_addition", episode.started_on)
        except NoTermInForce as lacks:
            return [
                waiting("MEOS", month, episode.practice, lines[0].day, lacks, min(line.key for line in lines))
                for month, lines in sorted(billed.items())
            ]
        base_cents, addition_cents = (cents(rate.number, self.sheet.rounding) for rate in (base, addition))
        months = sorted(billed)[:most]
        return [
            self._month_due(member, window, m, billed[m], base, addition, base_cents, addition_cents, adoption)
            for m in months
        ]

    def _billed_months(
        self, member: Member, episode: Episode, window: Window, adoption: Adoption
    ) -> dict[str, list[Service]]:
        """Months with an M0010 line of the episode's own, participating practice, in life and out of hospice.

        The day of death and the day of election still count; a day after a day in hospice does not.
        """
        spans = adoption.practices.get(episode.practice)
        hospice = member.head.coverage.get("hospice")
        until = member.head.died_on or FOREVER
        months: dict[str, list[Service]] = {}
        for service in window.services.values():
            if (
                service.code in self.services
                and service.practice == episode.practice
                and service.day <= until
                and coverage.on(spans, service.day) is not None
                and (hospice is None or coverage.throughout(hospice, add_days(service.day, -1), service.day))
            ):
                months.setdefault(service.day[:7], []).append(service)
        return months

    def _month_due(
        self,
        member: Member,
        window: Window,
        month: str,
        services: list[Service],
        base: DatedValue,
        addition: DatedValue,
        base_cents: int,
        addition_cents: int,
        adoption: Adoption,
    ) -> Due:
        service = services[0] if len(services) == 1 else min(services, key=_key)
        dual = coverage.on(member.head.coverage.get("dual"), service.day)
        adds = dual is not None and dual.code in self._dual_codes
        amount = base_cents + (addition_cents if adds else 0)

        def explain() -> Explained:
            facts = [(service.ref, f"{service.code} furnished on {service.day} by practice {service.practice}")]
            facts += self._episode_facts(member, window)
            lines = [self._line("MEOS", base, "", self.sheet.on("meos_mips", service.day))]
            if dual is not None and adds:
                codes = self.sheet.on("dual_codes", service.day)
                lines.append(self._line("MEOS.dual", addition, f", dual status {dual.code}", codes))
                facts.append((dual.ref, f"dual status {dual.code} on {service.day}"))
            participation = coverage.on(adoption.practices.get(service.practice), service.day)
            if participation is not None:
                facts.append((participation.ref, f"practice {service.practice} participates on {service.day}"))
            return lines, facts

        others = [one.key for one in services] if len(services) > 1 else ()
        return Due("MEOS", month, service.practice, service.day, amount, explain, service.key, others)

    def _line(self, clause: str, rate: DatedValue, because: str, *also: DatedValue) -> Line:
        """One month of a rate: 1 month x 110.00 = 110.00."""
        arithmetic = f"1 month x {rate.number:.2f} = {rate.number:.2f}{because}"
        return Line(clause, rate.label, arithmetic, cents(rate.number, self.sheet.rounding), (rate, *also))

    def _episode_facts(self, member: Member, window: Window) -> list[tuple[Ref, str]]:
        return [*opening_facts(window), *eligible_window_facts(member, window, ("part_a", "part_b"))]

    def due_on(self, episode: Episode, closed_through: str) -> str:
        """Time alone only closes an episode's window."""
        return episode.ends_on if episode.ends_on > closed_through else ""
