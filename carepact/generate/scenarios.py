"""What can happen to an episode: each scenario writes one member's life, and is dealt to members in turn.

The names are what the scenario shows. `PLAIN` lives fill the rest of the deck.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from carepact.generate.codes import (
    BICALUTAMIDE,
    CANCERS,
    CAPECITABINE_DME,
    CAR_T_HCPCS,
    CAR_T_PROCEDURE,
    DOCETAXEL,
    LETROZOLE,
    LEUPROLIDE,
    OTHER_CANCER,
    PERTUZUMAB,
    TAMOXIFEN,
    Cancer,
    Regimen,
)
from carepact.generate.courses import Course, course, report, service, treat, visit
from carepact.generate.practices import NOT_TAKING_PART, TAKING_PART, any_practice
from carepact.generate.story import Story, iso


@dataclass(slots=True)
class Life:
    """What a scenario starts from: a start day, a cancer and its treatment, a practice, a length."""

    s: Story
    start: int
    cancer: Cancer
    regimen: Regimen
    tin: str
    days: int

    def of(self, name: str, regimen: Regimen | None = None) -> Life:
        """The same life with another cancer."""
        self.cancer = CANCERS[name]
        self.regimen = regimen or self.cancer.regimens[0]
        return self

    def by(self, *roads: str) -> Life:
        """The same life with a regimen given by one of these roads, of another cancer if need be."""
        if self.regimen.road not in roads:
            fit = [r for r in self.cancer.regimens if r.road in roads]
            if not fit:
                self.cancer = CANCERS["breast" if self.s.invented.sex == "female" else "lung"]
                fit = [r for r in self.cancer.regimens if r.road in roads]
            self.regimen = fit[0]
        return self

    def live(self, **how: Any) -> Course:
        """Enrolled in time, then one course."""
        enroll(self.s)
        return self.treated(**how)

    def treated(self, **how: Any) -> Course:
        """One course."""
        return course(self.s, self.start, self.days, self.cancer, self.regimen, self.tin, **how)


Scenario = Callable[[Life], None]
SPECIAL: dict[str, Scenario] = {}
MEDICARE_ONLY: set[str] = set()


def scenario(medicare_only: bool = False) -> Callable[[Scenario], Scenario]:
    """Register a scenario under its function's name."""

    def register(function: Scenario) -> Scenario:
        SPECIAL[function.__name__] = function
        if medicare_only:
            MEDICARE_ONLY.add(function.__name__)
        return function

    return register


def enroll(s: Story, known: int = 0) -> None:
    """The coverage a member has from before the model's first day."""
    known = known or s.first - 25 + s.rng.randrange(20)
    s.describe(known)
    if s.payer == "medicare":
        since = s.first - 365 * s.rng.randrange(1, 8)
        s.cover(known, "part_a", since)
        s.cover(known, "part_b", since)
        if s.rng.random() < 0.8:
            s.cover(known, "part_d", since)
        if s.rng.random() < 0.12:
            s.cover(known, "dual", since, code=s.rng.choice(("02", "04", "08", "01", "03")))
    else:
        s.cover(known, "plan", s.first - 365 * s.rng.randrange(1, 5), code="subscriber")


def plain(life: Life) -> None:
    """A course as most are, one to four episodes long."""
    c = life.live()
    corrections(life.s, c)


def corrections(s: Story, c: Course) -> None:
    """The ordinary share of duplicates, replacements and voids."""
    for sent in c.all:
        x = s.rng.random()
        if x < 0.015:
            s.again(sent, sent.known + s.rng.randrange(40))
        elif x < 0.035 and "lines" in sent.data and sent.type_.startswith("Professional"):
            lines = [{**ln, "paid_cents": ln["paid_cents"] * 9 // 10} for ln in sent.data["lines"]]
            s.version(sent, sent.known + 5 + s.rng.randrange(90), "replacement", lines=lines)
            s.note("replacement")
        elif x < 0.055:
            s.version(sent, sent.known + 5 + s.rng.randrange(120), "void")
            s.note("void")


# Claims that come late, twice, replaced, voided, out of order


@scenario()
def late_trigger(life: Life) -> None:
    """The first claim is known months later: the episode started earlier than was thought."""
    life.live(first={"known": life.start + 90 + life.s.rng.randrange(80)})
    life.s.note("late_trigger")


@scenario()
def replaced_trigger(life: Life) -> None:
    """The first claim is replaced by one without the drug."""
    s, c = life.s, life.by("carrier").live()
    first = c.drugs[0]
    lines = [{**ln, "code": "J1100" if ln["line"] == 1 else "96365"} for ln in first.data["lines"]]
    s.version(first, first.known + 30, "replacement", lines=lines)
    s.note("replaced_trigger")


@scenario()
def replacement_before_original(life: Life) -> None:
    """A replacement arrives before what it replaces."""
    s, c = life.s, life.by("carrier").live()
    first = c.drugs[0]
    lines = [{**ln, "paid_cents": ln["paid_cents"] - 100} for ln in first.data["lines"]]
    s.version(first, first.known - 2, "replacement", lines=lines)
    service_ = c.services[0] if c.services else c.visits[0]
    s.version(service_, service_.known - 1, "replacement", lines=service_.data["lines"])
    s.note("replacement_before_original")


@scenario()
def void_trigger(life: Life) -> None:
    """The first claim is voided: the next one opens the episode."""
    s, c = life.s, life.live()
    s.version(c.drugs[0], c.drugs[0].known + 45, "void")
    s.note("void_trigger")


@scenario()
def void_everything(life: Life) -> None:
    """Every drug is voided: there was no episode."""
    s, c = life.s, life.live()
    for sent in c.drugs:
        s.version(sent, sent.known + 100 + s.rng.randrange(20), "void")
    s.note("void_everything")


@scenario()
def void_before_original(life: Life) -> None:
    """A void arrives before its original."""
    s, c = life.s, life.live()
    s.version(c.drugs[0], c.drugs[0].known - 3, "void")
    for sent in c.services[:1]:
        s.version(sent, sent.known - 1, "void")
    s.note("void_before_original")


@scenario()
def unmatched_void(life: Life) -> None:
    """A void whose original never comes."""
    s, c = life.s, life.live()
    s.version(c.drugs[0], c.drugs[0].known + 9, "void", version=8, family=f"{c.drugs[0].data['family']}X")
    s.note("unmatched_void")


@scenario()
def cancel_and_adjust(life: Life) -> None:
    """CMS's way: a cancel of equal amounts that names nothing, and an adjustment that stands in its place."""
    s, c = life.s, life.by("carrier").live()
    for sent in (c.drugs[0], *c.services[:2]):
        s.version(sent, sent.known + 40, "void", named=False)
        lines = [{**ln, "paid_cents": ln["paid_cents"] + 250} for ln in sent.data["lines"]]
        s.version(sent, sent.known + 38 + s.rng.randrange(5), "adjustment", version=3, lines=lines)
    s.note("cancel_and_adjust")


@scenario()
def void_then_other_day(life: Life) -> None:
    """Voided, and billed again in another claim on another day."""
    s, c = life.s, life.live()
    first = c.drugs[0]
    s.version(first, first.known + 12, "void")
    treat(s, life.start - 9 + s.rng.randrange(18), c.regimen, c.tin, c.dx, known=first.known + 15)
    s.note("void_then_other_day")


@scenario()
def partial_void(life: Life) -> None:
    """One line of a claim is taken back."""
    s, c = life.s, life.by("carrier").live()
    first = c.drugs[0]
    s.version(first, first.known + 25, "void", lines=[ln for ln in first.data["lines"] if ln["line"] == 1])
    several = next((v for v in c.visits if len(v.data["lines"]) > 1), c.visits[0])
    s.version(several, several.known + 25, "void", named=False, lines=several.data["lines"][:1])
    s.note("partial_void")


@scenario()
def two_originals(life: Life) -> None:
    """Two originals of one claim without a cancel: both count, also when one of them is voided."""
    s, c = life.s, life.by("carrier").live()
    for sent in (c.drugs[0], *c.services[:1]):
        s.version(sent, sent.known + 4, "original", named=False)
    s.version(c.drugs[0], c.drugs[0].known + 50, "void", version=3, named=False)
    s.note("two_originals")


@scenario()
def same_content(life: Life) -> None:
    """The same content under two ids: two facts. A void takes one of them."""
    s, c = life.s, life.by("carrier").live()
    for sent in (c.drugs[0], *c.services[:2]):
        s.add(sent.known + 2, sent.source, sent.type_, sent.data)
    s.version(c.drugs[0], c.drugs[0].known + 33, "void")
    for sent in c.services[:1]:
        s.version(sent, sent.known + 33, "void")
    s.note("same_content")


@scenario()
def denied_trigger(life: Life) -> None:
    """A denied first claim, then a denied line."""
    s, c = life.s, life.by("carrier").live(first={"denied": True})
    second = c.drugs[1]
    lines = [
        {**ln, "denied": ln["line"] == 1, "allowed_cents": 0 if ln["line"] == 1 else 100} for ln in second.data["lines"]
    ]
    s.version(second, second.known + 9, "replacement", lines=lines)
    s.note("denied_trigger")


@scenario()
def negative_family(life: Life) -> None:
    """An adjustment takes more away than was paid."""
    s, c = life.s, life.by("carrier").live()
    sent = c.drugs[-1]
    lines = [{**ln, "paid_cents": -2 * ln["paid_cents"], "allowed_cents": -100} for ln in sent.data["lines"]]
    s.version(sent, sent.known + 30, "adjustment", lines=lines)
    s.note("negative_family")


@scenario()
def duplicates(life: Life) -> None:
    """Every fourth claim is sent twice, byte for byte."""
    c = life.live()
    for sent in c.all[::4]:
        life.s.again(sent, sent.known + 1 + life.s.rng.randrange(60))


# Eligibility


def _lost(life: Life, coverage: str, covered: bool = False, until: int | None = None) -> None:
    s = life.s
    life.live()
    day = life.start + 20 + s.rng.randrange(120)
    s.cover(day + 45 + s.rng.randrange(60), coverage, day, None if until is None else day + until, covered=covered)
    s.note(f"lost_{coverage}")


@scenario(medicare_only=True)
def part_a_ends(life: Life) -> None:
    """Part A is terminated for days already past."""
    _lost(life, "part_a")


@scenario(medicare_only=True)
def part_b_ends(life: Life) -> None:
    """Part B is terminated for days already past."""
    _lost(life, "part_b")


@scenario(medicare_only=True)
def joins_medicare_advantage(life: Life) -> None:
    """Moves to Medicare Advantage."""
    _lost(life, "medicare_advantage", covered=True)


@scenario(medicare_only=True)
def esrd(life: Life) -> None:
    """Becomes entitled by end-stage renal disease."""
    _lost(life, "esrd", covered=True)


@scenario()
def other_primary(life: Life) -> None:
    """Another payer is primary for three weeks."""
    s = life.s
    life.live()
    day = life.start + 20 + s.rng.randrange(120)
    s.cover(day + 70, "other_primary", day, day + 20, code="A")
    s.note("lost_other_primary")


@scenario()
def coverage_ends(life: Life) -> None:
    """The plan, or Part B, ends retro-actively."""
    _lost(life, "part_b" if life.s.payer == "medicare" else "plan")


@scenario()
def coverage_ends_before_start(life: Life) -> None:
    """The termination, told late, dates from before the first treatment."""
    s = life.s
    life.live()
    s.cover(life.start + 100, "part_b" if s.payer == "medicare" else "plan", life.start - 15, covered=False)
    s.note("lost_before_start")


@scenario()
def reinstated(life: Life) -> None:
    """Terminated by mistake, and reinstated."""
    s = life.s
    life.live()
    kind = "part_a" if s.payer == "medicare" else "plan"
    s.cover(life.start + 70, kind, life.start + 40, covered=False)
    s.cover(life.start + 130, kind, life.start + 35, covered=True, code="subscriber" if kind == "plan" else "")
    s.note("reinstated")


@scenario()
def late_enrollment(life: Life) -> None:
    """Enrollment is known only after the claims."""
    s = life.s
    life.treated()
    enroll(s, known=life.start + 110)
    s.note("late_enrollment")


@scenario(medicare_only=True)
def claims_of_another_payer(life: Life) -> None:
    """The first cycles were paid by an employer plan first."""
    s, c = life.s, life.live()
    for code, sent in zip("AG", c.drugs[:2], strict=False):
        s.version(sent, sent.known + 10, "replacement", primary_payer=code)
    s.note("claims_of_another_payer")


@scenario()
def died(life: Life) -> None:
    """Dies in the episode; claims dated later are a mistake of the sender."""
    s = life.s
    day = life.start + 50 + s.rng.randrange(90)
    life.days = day - life.start
    c = life.live()
    s.describe(day + 5 + s.rng.randrange(100), died=day)
    service(s, day + 32, c.tin, c.dx)
    s.note("died")


@scenario()
def died_then_uncovered(life: Life) -> None:
    """Coverage ends with the death, as it should: the episode stays valid."""
    s = life.s
    day = life.start + 40 + s.rng.randrange(60)
    life.days = day - life.start
    life.live()
    for kind in ("part_a", "part_b") if s.payer == "medicare" else ("plan",):
        s.cover(day + 20, kind, day + 1, covered=False)
    s.describe(day + 60, died=day)
    s.note("died_then_uncovered")


@scenario()
def death_corrected(life: Life) -> None:
    """The day of death is corrected to a later one."""
    s = life.s
    day = life.start + 45
    life.live()
    s.describe(day + 10, died=day)
    s.describe(day + 150, died=day + 110)
    s.note("death_corrected")


@scenario(medicare_only=True)
def hospice(life: Life) -> None:
    """Elects hospice; the practice bills on for a while."""
    s = life.s
    life.live()
    day = life.start + 60 + s.rng.randrange(60)
    s.cover(day + 12, "hospice", day)
    s.note("hospice")


@scenario(medicare_only=True)
def dual(life: Life) -> None:
    """Full dual from the start."""
    life.s.cover(life.s.first - 3, "dual", life.s.first - 400, code=life.s.rng.choice(("02", "04", "08")))
    life.live()
    life.s.note("dual_full")


@scenario(medicare_only=True)
def becomes_dual(life: Life) -> None:
    """Becomes fully dual in the middle, known late; a partial dual becomes a full one."""
    s = life.s
    life.live()
    s.cover(s.first - 2, "dual", s.first - 90, code="01")
    s.cover(life.start + 120, "dual", life.start + 62, code="02")
    s.note("becomes_dual")


# What was treated, and with what


@scenario()
def no_visit(life: Life) -> None:
    """Treated without one qualifying visit."""
    life.by("carrier", "outpatient").live(visits=False)
    life.s.note("no_visit")


@scenario()
def late_visit(life: Life) -> None:
    """The only visits are known late: void until then."""
    s = life.s
    c = life.by("carrier", "outpatient").live(visits=False)
    for day in (20, 60):
        visit(s, life.start + day, c.tin, c.dx, known=life.start + 170 + day)
    s.note("late_visit")


@scenario(medicare_only=True)
def car_t_inpatient(life: Life) -> None:
    """Receives CAR-T in hospital."""
    s, c = life.s, life.of("lymphoma").live()
    day = life.start + 80
    s.inpatient(day, 14, 38_500_000, c.dx, procedures=(CAR_T_PROCEDURE,))
    s.note("car_t_inpatient")


@scenario()
def car_t_outpatient(life: Life) -> None:
    """Receives CAR-T as an outpatient."""
    s, c = life.s, life.of("lymphoma").live()
    s.outpatient(life.start + 70, ((CAR_T_HCPCS, 1, 37_300_000),), "570000990", c.dx)
    s.note("car_t_outpatient")


@scenario()
def before_the_model(life: Life) -> None:
    """Treatment that began before the model's first day and goes on."""
    life.start = life.s.first - 20 - life.s.rng.randrange(70)
    enroll(life.s, known=life.start - 20)
    life.days = 200
    life.treated()
    life.s.note("before_the_model")


@scenario()
def after_the_model(life: Life) -> None:
    """Claims dated after the last day of initiation, as a mistyped year would be."""
    s = life.s
    enroll(s)
    life.start = date(2030, 2, 4).toordinal() + s.rng.randrange(20)
    life.days = 60
    life.by("carrier").treated(reports=False)
    s.note("after_the_model")


@scenario()
def low_risk_breast(life: Life) -> None:
    """Only oral endocrine therapy."""
    life.of("breast", life.s.rng.choice((LETROZOLE, TAMOXIFEN))).live()
    life.s.note("low_risk_breast")


@scenario()
def breast_flips(life: Life) -> None:
    """Endocrine therapy, then an antibody in the fifth month: included after all."""
    s, c = life.s, life.of("breast", LETROZOLE).live()
    life.tin = c.tin
    for day in (125, 146):
        treat(s, life.start + day, PERTUZUMAB, c.tin, c.dx)
    s.note("breast_flips")


@scenario()
def breast_flips_back(life: Life) -> None:
    """The antibody's claims are voided: excluded again, what was paid comes back."""
    s, c = life.s, life.of("breast", TAMOXIFEN).live()
    for sent in treat(s, life.start + 60, PERTUZUMAB, c.tin, c.dx):
        s.version(sent, sent.known + 90, "void")
    s.note("breast_flips_back")


@scenario()
def low_intensity_prostate(life: Life) -> None:
    """Androgen deprivation and an anti-androgen only."""
    s, c = life.s, life.of("prostate", LEUPROLIDE).live()
    for day in range(5, 150, 30):
        treat(s, life.start + day, BICALUTAMIDE, c.tin, c.dx)
    s.note("low_intensity_prostate")


@scenario()
def prostate_flips(life: Life) -> None:
    """Androgen deprivation, then docetaxel."""
    s, c = life.s, life.of("prostate", LEUPROLIDE).live()
    for day in (110, 131):
        treat(s, life.start + day, DOCETAXEL, c.tin, c.dx)
    s.note("prostate_flips")


@scenario()
def pharmacy_trigger(life: Life) -> None:
    """A fill with a diagnosis within 59 days before opens the episode."""
    life.by("part_d").live()
    life.s.note("pharmacy_trigger")


@scenario()
def pharmacy_without_diagnosis(life: Life) -> None:
    """No diagnosis in the 59 days before the first fills: a later fill opens the episode."""
    s, c = life.s, life.by("part_d").live(first_visit=34)
    visit(s, life.start - 60, c.tin, c.dx)
    s.note("pharmacy_without_diagnosis")


@scenario()
def pharmacy_late_diagnosis(life: Life) -> None:
    """The diagnosis that makes the first fill a trigger is known months later."""
    s, c = life.s, life.by("part_d").live(first_visit=34)
    visit(s, life.start - 59, c.tin, c.dx, known=life.start + 95)
    s.note("pharmacy_late_diagnosis")


@scenario()
def equipment_supplier(life: Life) -> None:
    """An oral drug billed by a supplier."""
    life.of("colorectal", CAPECITABINE_DME).live()
    life.s.note("equipment_supplier")


@scenario()
def encounter_code(life: Life) -> None:
    """The principal diagnosis is Z51.11, the cancer stands in the header only."""
    s, c = life.s, life.by("carrier").live()
    first = c.drugs[0]
    lines = [{**ln, "diagnoses": ("Z5111",)} for ln in first.data["lines"]]
    s.version(first, first.known + 6, "replacement", lines=lines, diagnoses=("Z5111", c.dx[0]))
    s.note("encounter_code")


@scenario()
def inpatient_place(life: Life) -> None:
    """The first administration was in hospital: no trigger."""
    life.by("carrier").live(first={"place": "21"})
    life.s.note("inpatient_place")


@scenario()
def not_covered(life: Life) -> None:
    """The first outpatient drug was not covered at all: no trigger."""
    s, c = life.s, life.by("outpatient").live()
    first = c.drugs[0]
    lines = [{**ln, "noncovered_cents": ln["charge_cents"]} for ln in first.data["lines"]]
    s.version(first, first.known + 7, "replacement", lines=lines)
    s.note("not_covered")


@scenario()
def mistaken_cancer(life: Life) -> None:
    """The cancer of the first claim is corrected to one outside the model."""
    s, c = life.s, life.by("carrier").live()
    first = c.drugs[0]
    lines = [{**ln, "diagnoses": ("C259",)} for ln in first.data["lines"]]
    s.version(first, first.known + 20, "replacement", lines=lines, diagnoses=("C259",))
    s.note("mistaken_cancer")


@scenario()
def two_cancers(life: Life) -> None:
    """Visits for two cancers, as many of each: the most recent decides."""
    s, c = life.s, life.of("lung", CANCERS["lung"].regimens[0]).live(visits=False)
    for i in range(6):
        visit(s, life.start + 10 + i * 20, c.tin, c.dx if i % 2 else ("C9000",))
    s.note("two_cancers")


@scenario()
def other_cancer(life: Life) -> None:
    """A cancer outside the model."""
    life.cancer, life.regimen = OTHER_CANCER, OTHER_CANCER.regimens[0]
    life.live()
    life.s.note("other_cancer")


# Practices and the monthly service


@scenario()
def short_first_visit(life: Life) -> None:
    """The first visit is elsewhere, with under a quarter of all: plurality decides."""
    s, c = life.s, life.by("carrier", "outpatient").live(first_visit=15)
    other = next(p.tin for p in TAKING_PART if p.tin != c.tin)
    visit(s, life.start + 1, other, c.dx)
    service(s, life.start + 40, other, c.dx)
    s.note("short_first_visit")


@scenario()
def quarter_of_visits(life: Life) -> None:
    """The first practice keeps the episode with a quarter of the visits."""
    s = life.s
    c = life.by("carrier").live(visits=False)
    other = next(p.tin for p in reversed(TAKING_PART) if p.tin != c.tin)
    for day in (2, 31):
        visit(s, life.start + day, c.tin, c.dx)
    for i in range(6):
        visit(s, life.start + 40 + i * 20, other, c.dx)
    s.note("quarter_of_visits")


@scenario(medicare_only=True)
def not_in_the_model(life: Life) -> None:
    """The practice does not take part."""
    life.tin = life.s.rng.choice(NOT_TAKING_PART).tin
    life.live()
    life.s.note("not_in_the_model")


@scenario(medicare_only=True)
def extra_services(life: Life) -> None:
    """Billed twice in a month, by another practice, and in a seventh month."""
    s = life.s
    on = date.fromordinal(life.start)
    life.start = on.replace(day=17).toordinal()
    life.days = max(life.days, 190)
    life.tin = TAKING_PART[0].tin
    c = life.live()
    for day in (45, 47, 75, 177):
        service(s, life.start + day, c.tin, c.dx)
    service(s, life.start + 100, TAKING_PART[1].tin, c.dx)
    s.note("extra_services")


@scenario(medicare_only=True)
def late_services(life: Life) -> None:
    """Monthly services known a year late; one in the wrong month is replaced."""
    s = life.s
    c = life.live(services=False)
    for i in range(5):
        sent = service(s, life.start + 3 + i * 31, c.tin, c.dx, known=life.start + 200 + i)
        if i == 2:
            lines = [{**ln, "service_on": iso(sent.day + 31)} for ln in sent.data["lines"]]
            on = iso(sent.day + 31)
            s.version(sent, sent.known + 30, "replacement", lines=lines, from_on=on, through_on=on)
    s.note("late_services")


@scenario(medicare_only=True)
def years_end(life: Life) -> None:
    """Begins in December 2024: the payment of its start holds through June 2025."""
    life.start = date(2024, 12, 10).toordinal() + life.s.rng.randrange(20)
    life.days = 180
    life.live()
    life.s.note("years_end")


def fill_up(s: Story, start: int, least: int) -> None:
    """Reports from the patient until there are `least` facts."""
    day = start
    tin = any_practice(s.rng).tin
    while len(s.facts) < least:
        report(s, day, tin)
        day += 5
