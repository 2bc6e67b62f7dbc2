"""What else becomes of people beside their therapy: emergency visits, stays, tests, programmes, surveys, formularies.

Employers' people have what their metrics ask about; Medicare's what their practice reports. It is told after all else
and by chance of its own, so that therapies, visits and returns to work are those they would be without it.
"""

from __future__ import annotations

from typing import Any

from carepact.generate.courses import visit
from carepact.generate.people import seeded
from carepact.generate.practices import CENTER, HOSPITAL, OUTSIDE
from carepact.generate.scenarios import Life
from carepact.generate.story import Story, iso

COMPLICATIONS = ("D701", "E860", "R112", "J189", "A419", "K529")
SUPPORT = {"pegfilgrastim": ("J2506", "Q5111"), "denosumab": ("J0897", "Q5136"), "filgrastim": ("J1442", "Q5101"),
           "epoetin": ("J0885", "Q5106")}  # fmt: skip
"""Molecules given beside therapy: the reference product and a biosimilar."""
SWITCHED = {"J9035": "Q5107", "J9312": "Q5115", "J9355": "Q5116"}
"""Reference products of therapies, and a biosimilar of each."""
TUMOUR_TEST, REVIEW = "81455", "99244"
SCREENS = {"female": ("77067", "81528", "87624"), "male": ("82274", "81528")}
NEEDS = ("88122-7", "93030-5", "71802-3")
COMPOSITES = ("access", "communication", "coordination", "overall")
PLAN = (
    "patient", "diagnosis", "prognosis", "goals", "treatment", "response", "benefits_harms", "quality_of_life",
    "responsibilities", "advance_care", "cost", "psychosocial", "survivorship",
)  # fmt: skip
RACES = ("2106-3", "2054-5", "2028-9", "1002-5")


def employee(s: Story, life: Life, seed: int) -> None:
    """A person of an employer's plan who is treated."""
    s.rng = rng = seeded(seed, "beside", s.payer, s.number)
    dx = (life.cancer.codes[0],)
    _tested(s, life, dx)
    _navigated(s, life)
    if rng.random() < 0.45:
        _emergency(s, life.start + 5 + rng.randrange(150), dx)
    if rng.random() < 0.35:
        _stay(s, life.start + 8 + rng.randrange(140), dx)
    if s.died:
        _emergency(s, s.died - 9 - rng.randrange(20), dx)
        if rng.random() < 0.6:
            day = s.died - rng.randrange(8)
            s.hospice(day, s.died, 92_000, dx)
    _biosimilars(s, life, dx)
    if rng.random() < 0.3:
        lines = [s.line(1, life.start + 20, (REVIEW, 1, 24_600), CENTER, dx)]
        s.professional(life.start + 20, lines, CENTER, dx)
    if rng.random() < 0.2:
        visit(s, life.start + 25 + rng.randrange(60), OUTSIDE, dx)
    _needs(s, life)
    if rng.random() < 0.4:
        _contact(s, life.start + 12 + rng.randrange(40), "palliative", "reached", life.tin)
    _surveyed(s, life)
    _formulary(s)


def member(s: Story, seed: int, span: int) -> None:
    """A person of an employer's plan who is not treated: screened, or not."""
    s.rng = rng = seeded(seed, "beside", s.payer, s.number)
    if rng.random() < 0.55:
        code, day = rng.choice(SCREENS[s.invented.sex]), s.first + rng.randrange(span)
        s.professional(day, [s.line(1, day, (code, 1, 13_200), "570000770", ("Z1231",))], "570000770", ("Z1231",))
    if s.invented.birth_year < 1972 and rng.random() < 0.4:
        day = s.first + rng.randrange(span)
        code = "71271" if rng.random() < 0.5 else "99213"
        s.professional(day, [s.line(1, day, (code, 1, 9_900), "570000770", ("F17210",))], "570000770", ("F17210",))


def patient(s: Story, life: Life, seed: int) -> None:
    """A Medicare patient as the practice reports them: clinical elements, care plan, needs, who they say they are."""
    s.rng = rng = seeded(seed, "beside", s.payer, s.number)
    spread = rng.random() < 0.3
    told = [
        ("initial_diagnosis", life.cancer.codes[0], life.start - 30 - rng.randrange(400)),
        ("histology", "8140/3", life.start - 20),
        ("recurrence", "yes" if rng.random() < 0.2 else "no", life.start - 5),
        ("status_trend", rng.choice(("improved", "stable", "stable", "worsened")), life.start + 40),
    ]
    if life.cancer.name in ("breast", "lung", "prostate", "colorectal"):
        staged = (
            ("tnm_t", f"cT{rng.randrange(1, 5)}"),
            ("tnm_n", f"cN{rng.randrange(3)}"),
            ("tnm_m", f"cM{int(spread)}"),
        )
        told += [(element, value, life.start - 10) for element, value in staged]
    if life.cancer.name == "breast":
        told.append(("pr", rng.choice(("positive", "negative", "not_tested")), life.start - 10))
    for number, (element, value, day) in enumerate(told, 1):
        data = {
            "record_id": f"B{s.number:06d}-{number:02d}",
            "observed_on": iso(day),
            "element": element,
            "value": value,
            "diagnosis": life.cancer.codes[0],
        }
        s.add(max(life.start, day) + rng.randrange(12), "clinical", "ClinicalFactRecorded", data)
    held = PLAN if rng.random() < 0.85 else PLAN[:-2]
    _contact(s, life.start + 4, "care_plan", "reached", life.tin, components=held)
    if rng.random() < 0.8:
        _contact(s, life.start + 6, "hrsn", "reached", life.tin)
    if rng.random() < 0.9:
        answers = {
            "race": [rng.choice(RACES)],
            "ethnicity": rng.choice(("2186-5", "2186-5", "2135-2")),
            "language": rng.choice(("en", "en", "en", "es")),
        }
        data = {"record_id": f"S{s.number:06d}", "recorded_on": iso(life.start + 2), "practice": life.tin}
        s.add(life.start + 3, "clinical", "SociodemographicsRecorded", {**data, "answers": answers})


def _contact(s: Story, day: int, program: str, contact: str, tin: str, **more: Any) -> None:
    s.counts["beside"] = number = s.counts.get("beside", 0) + 1
    data = {
        "record_id": f"Q{s.payer[0]}{s.number:06d}-{number:03d}",
        "program": program,
        "contact_on": iso(day),
        "contact": contact,
        "practice": tin,
        **more,
    }
    s.add(day + s.rng.randrange(3), "programs", "ProgramContactRecorded", data)


def _emergency(s: Story, day: int, dx: tuple[str, ...]) -> None:
    """A call, and a visit by the next day; a third of them go over into a stay."""
    rng = s.rng
    complication = rng.choice(COMPLICATIONS)
    codes = (complication, *dx) if rng.random() < 0.5 else (dx[0], complication)
    if rng.random() < 0.6:
        _contact(s, day - rng.randrange(2), "after_hours", "reached", "571000014")
    lines = [{"line": 1, "service_on": iso(day), "code": "99284", "revenue_center": "0450", "units": "1",
              "charge_cents": 213_000}]  # fmt: skip
    s.outpatient(day, (("99284", 1, 71_000),), HOSPITAL, codes, lines=lines)
    s.note("emergency_visit")
    if rng.random() < 0.33:
        s.inpatient(day, 3 + rng.randrange(4), 1_100_000 + rng.randrange(600_000), codes)
        s.note("emergency_to_stay")


def _stay(s: Story, day: int, dx: tuple[str, ...]) -> None:
    """A stay; a quarter come back within a month."""
    rng = s.rng
    codes = (rng.choice(COMPLICATIONS), *dx)
    days = 3 + rng.randrange(5)
    s.inpatient(day, days, 1_300_000 + rng.randrange(900_000), codes)
    s.note("stay")
    if rng.random() < 0.25:
        s.inpatient(day + days + 5 + rng.randrange(20), 4, 1_200_000, codes)
        s.note("readmission")


def _biosimilars(s: Story, life: Life, dx: tuple[str, ...]) -> None:
    """Some are switched while treated, on days of their therapy; some get a medicine beside it, and stay on one."""
    rng = s.rng
    for code, units, paid in life.regimen.drugs:
        if code in SWITCHED and life.regimen.road in ("carrier", "outpatient") and rng.random() < 0.6:
            day = life.start + life.regimen.cycle_days * 2
            if day < life.start + life.days:
                drug = SWITCHED[code], units, paid * 3 // 5
                s.professional(day, [s.line(1, day, drug, life.tin, dx)], life.tin, dx)
                s.note("switched")
    if life.regimen.road in ("carrier", "outpatient"):
        molecule = rng.choice(sorted(SUPPORT))
        at = int(rng.random() < 0.6)
        for cycle in range(3):
            day = life.start + 1 + cycle * 21
            code = SUPPORT[molecule][at]
            lines = [s.line(1, day, (code, 12, (412_000, 236_000)[at]), life.tin, dx)]
            s.professional(day, lines, life.tin, dx)
            at = 1 if rng.random() < 0.2 else at
        s.note("supported")


def _tested(s: Story, life: Life, dx: tuple[str, ...]) -> None:
    """The tumour is tested before therapy, or late; the plan is asked, and at times says no first."""
    rng = s.rng
    if rng.random() < 0.25:
        return
    day = life.start - 12 if rng.random() < 0.75 else life.start + 20
    request = f"T{s.number:06d}"
    asked = {"request_id": request, "requested_on": iso(day - 6), "code": TUMOUR_TEST, "diagnosis": dx[0]}
    s.add(day - 6, "authorizations", "PriorAuthorizationRequested", {**asked, "practice": life.tin})
    denied = rng.random() < 0.3
    said = {"request_id": request, "decided_on": iso(day - 4), "decision": "denied" if denied else "approved"}
    s.add(day - 4, "authorizations", "PriorAuthorizationDecided", {**said, "hours": rng.choice(("20", "41", "190"))})
    if denied and rng.random() < 0.6:
        said = {"request_id": request, "decided_on": iso(day - 1), "decision": "overturned"}
        s.add(day - 1, "authorizations", "PriorAuthorizationDecided", {**said, "hours": "72"})
        denied = False
    line = s.line(1, day, (TUMOUR_TEST, 1, 0 if denied else 291_000), "570000881", dx)
    s.professional(day, [{**line, "denied": True} if denied else line], "570000881", dx)


def _navigated(s: Story, life: Life) -> None:
    rng = s.rng
    if rng.random() < 0.7:
        day = life.start + rng.randrange(18)
        _contact(s, day, "navigation", "offered", life.tin)
        if rng.random() < 0.8:
            for month in range(rng.choice((1, 3, 5, 6))):
                _contact(s, day + 2 + rng.randrange(6) + month * 30, "navigation", "reached", life.tin)
    if rng.random() < 0.5:
        _contact(s, life.start + 20 + rng.randrange(12), "behavioral", "reached", life.tin)


def _needs(s: Story, life: Life) -> None:
    """Social needs asked; where there is one, a referral that is closed in time or not."""
    rng = s.rng
    if rng.random() < 0.3:
        return
    day, needy = life.start + 10, rng.random() < 0.35
    data = {
        "response_id": f"N{s.number:06d}",
        "instrument": "AHC-HRSN",
        "instrument_version": "1",
        "collected_on": iso(day),
        "practice": life.tin,
        "items": [
            {"code_system": "LOINC", "code": code, "value": str(int(needy and code == NEEDS[0]))} for code in NEEDS
        ],
    }
    s.add(day + 1, "epro", "EproResponseReceived", data)
    if needy and rng.random() < 0.7:
        _contact(s, day + 10 + rng.randrange(35), "hrsn", "closed", life.tin)


def _surveyed(s: Story, life: Life) -> None:
    if s.rng.random() < 0.5 and not s.died:
        day = life.start + 120
        scores = [{"name": name, "value": str(60 + s.rng.randrange(41))} for name in COMPOSITES]
        data = {"response_id": f"X{s.number:06d}", "survey": "CAHPS-Cancer", "completed_on": iso(day)}
        s.add(day + 9, "surveys", "ExperienceSurveyReceived", {**data, "practice": life.tin, "scores": scores})
    if s.rng.random() < 0.3:
        data = {"program": "medical_home", "provider": life.tin, "from_on": iso(life.start - 40)}
        s.add(life.start - 20, "programs", "RosterAttested", data)


def _formulary(s: Story) -> None:
    """The tier and cost of each product under the member's benefit."""
    for reference, biosimilar in (*SUPPORT.values(), *SWITCHED.items()):
        lower = s.rng.random() < 0.7
        for code, tier, cost in ((reference, 5, 42_000), (biosimilar, 4 if lower else 6, 29_000 if lower else 42_000)):
            data = {"code": code, "tier": tier, "member_cost_cents": cost, "from_on": iso(s.first)}
            s.add(s.first + s.rng.randrange(5), "formulary", "FormularyTierSet", data)
