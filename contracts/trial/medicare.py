"""What can be tried of Medicare's models: EOM, and OCM before it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Annotated

from pydantic import PlainValidator

from contracts import eom, eom_settlement, ocm
from contracts.clauses import Line
from contracts.exact import exactly
from contracts.novel_therapy import novel_therapy
from contracts.period import period_of
from contracts.settled import Reconciled
from contracts.steps import within_model
from contracts.terms import TermSheet
from contracts.trial.clause import Result, Trial, together
from contracts.trial.evidence import months_owed
from contracts.trial.figures import (
    Amount,
    Count,
    Dollars,
    DollarsAbove,
    DollarsOrNull,
    Factor,
    FactorFromOne,
    Fraction,
    Given,
    Known,
    Misfit,
    OnDay,
    OnDayOrNull,
    Percent,
    TrueFalse,
    Word,
)
from contracts.units import FOREVER, ZERO, cents

EOM, OCM = eom.CONTRACT, ocm.CONTRACT
CALENDAR = frozenset({"initiation_first_on", "initiation_last_on"})
_cancers = Word(("breast", "chronic_leukemia", "colorectal", "lung", "lymphoma", "myeloma", "prostate"))
_arrangements = Word(("RA1", "RA2"))
_tracks = Word(ocm.TRACKS)
_states = ("meos_payment", "meos_dual_addition", "meos_counted_base", "meos_months_max", "meos_code", "dual_codes")


def _day(sheet: TermSheet, given: str | None) -> str:
    """The day given, which the model must know; without one, the model's first."""
    day = given or sheet.on("initiation_first_on", FOREVER).value
    within_model(sheet, day)
    return day


# --- EOM, in the order of its rules ----------------------------------------------------------------------------------


class EpisodeWindow(Given):
    """Start of an episode."""

    initiated_on: OnDay


def _window(sheet: TermSheet, given: EpisodeWindow) -> tuple[Result, Iterable[Line]]:
    start = _day(sheet, given.initiated_on)
    ends_on = eom.EomClauses(sheet).calendar.ends_on(start)
    period = period_of(sheet, start)
    months = sheet.on("episode_months", start)
    words = f"{start} + {months.value} calendar months - 1 day = {ends_on}, performance period {period}"
    days = (date.fromisoformat(ends_on) - date.fromisoformat(start)).days + 1
    result = {"ends_on": ends_on, "days": days, "performance_period": period}
    return result, [Line("EPISODE", months.label, words, 0, (months,))]


class Meos(Given):
    """Months of enhanced services in one episode."""

    initiated_on: OnDay
    months: Count
    dual_eligible: TrueFalse


def _meos(sheet: TermSheet, given: Meos) -> tuple[Result, Iterable[Line]]:
    """The months as billed lines of the episode's own practice, put before the clauses that pay."""
    start = _day(sheet, given.initiated_on)
    most = int(sheet.on("meos_months_max", start).number)
    code = sheet.on("meos_code", start).value.split()[0]
    dual = sheet.on("dual_codes", start).value.split()[0] if given.dual_eligible else ""
    dues, counted = months_owed(eom.EomClauses(sheet), start, code, min(given.months, most + 1), dual)
    lines = together(line for due in dues for line in due.explain()[0])
    return {"amount_cents": sum(due.amount_cents for due in dues), "counted_cents": counted}, lines


class Benchmark(Given):
    """One episode's benchmark."""

    baseline: Dollars
    experience: Factor
    cancer_type: Annotated[str, PlainValidator(_cancers), _cancers]
    ever_metastatic: Known
    her2_positive: Known
    trend: Factor
    novel_therapy: FactorFromOne
    initiated_on: OnDayOrNull = None


def _benchmark(sheet: TermSheet, given: Benchmark) -> tuple[Result, Iterable[Line]]:
    line = eom_settlement.benchmark(
        sheet,
        _day(sheet, given.initiated_on),
        given.baseline,
        given.experience,
        given.cancer_type,
        given.ever_metastatic,
        given.her2_positive,
        given.trend,
        given.novel_therapy,
    )
    return {"benchmark_cents": line.amount_cents}, [line]


class NovelTherapy(Given):
    """A practice's use of new drugs beside the comparison's, for one cancer type."""

    participant_actual: DollarsAbove
    participant_novel: Dollars
    comparison_share: Fraction
    trended_benchmark: DollarsAbove
    initiated_on: OnDayOrNull = None


def _novel_therapy(sheet: TermSheet, given: NovelTherapy) -> tuple[Result, Iterable[Line]]:
    found = novel_therapy(
        sheet,
        _day(sheet, given.initiated_on),
        given.participant_actual,
        given.participant_novel,
        given.comparison_share,
        given.trended_benchmark,
    )
    return {"add_on_cents": found.line.amount_cents, "factor": f"{found.factor:f}"}, [found.line]


class PartD(Given):
    """A fill's subsidy and its gross cost above the out-of-pocket threshold."""

    lics: Dollars
    gdcc_above: Dollars
    initiated_on: OnDayOrNull = None


def _part_d(sheet: TermSheet, given: PartD) -> tuple[Result, Iterable[Line]]:
    line = eom_settlement.part_d(sheet, _day(sheet, given.initiated_on), given.lics, given.gdcc_above)
    return {"amount_cents": line.amount_cents}, [line]


class Standardise(Given):
    """Standardised payments, sequestration taken off."""

    standardised: Dollars
    initiated_on: OnDayOrNull = None


def _standardise(sheet: TermSheet, given: Standardise) -> tuple[Result, Iterable[Line]]:
    line = eom_settlement.standardise(sheet, _day(sheet, given.initiated_on), given.standardised)
    return {"amount_cents": line.amount_cents}, [line]


class BiosimilarAddOn(Given):
    """A biosimilar's billing units, and its reference product's average sales price for one."""

    service_on: OnDay
    units: Amount
    reference_asp: Dollars
    initiated_on: OnDayOrNull = None


def _biosimilar(sheet: TermSheet, given: BiosimilarAddOn) -> tuple[Result, Iterable[Line]]:
    _day(sheet, given.initiated_on)
    line = eom_settlement.biosimilar_add_on(sheet, given.service_on, given.units, given.reference_asp)
    return {"amount_cents": line.amount_cents}, [line]


class Reconciliation(Given):
    """A practice's performance period."""

    initiated_on: OnDay
    risk_arrangement: Annotated[str, PlainValidator(_arrangements), _arrangements]
    benchmark: Dollars
    actual: Dollars
    aqs: Percent
    gaf: Factor


def _reconciliation(sheet: TermSheet, given: Reconciliation) -> tuple[Result, Iterable[Line]]:
    found = eom_settlement.reconcile(
        sheet, given.initiated_on, given.risk_arrangement, given.benchmark, given.actual, given.aqs, given.gaf
    )
    return _settled(sheet, found), found.lines


@exactly
def _settled(sheet: TermSheet, found: Reconciled) -> Result:
    return {
        "zone": found.zone,
        "target_cents": cents(found.target, sheet.rounding),
        "threshold_cents": cents(found.threshold, sheet.rounding),
        "pbp_cents": found.pbp_cents,
        "pbr_cents": found.pbr_cents,
    }


# --- OCM -------------------------------------------------------------------------------------------------------------


class OcmMeos(Given):
    """Months of enhanced services in one episode."""

    initiated_on: OnDay
    months: Count


def _ocm_meos(sheet: TermSheet, given: OcmMeos) -> tuple[Result, Iterable[Line]]:
    line = ocm.meos(sheet, given.initiated_on, given.months)
    return {"amount_cents": line.amount_cents, "counted_cents": line.amount_cents}, [line]


class OcmBenchmark(Given):
    """One episode's benchmark, by the single model for all cancers."""

    baseline: Dollars
    experience: Factor
    trend: Factor
    novel_therapy: FactorFromOne
    initiated_on: OnDayOrNull = None


def _ocm_benchmark(sheet: TermSheet, given: OcmBenchmark) -> tuple[Result, Iterable[Line]]:
    day = _day(sheet, given.initiated_on)
    line = ocm.benchmark(sheet, day, given.baseline, given.experience, given.trend, given.novel_therapy)
    return {"benchmark_cents": line.amount_cents}, [line]


class OcmReconciliation(Given):
    """A practice's performance period."""

    initiated_on: OnDay
    track: Annotated[str, PlainValidator(_tracks), _tracks]
    benchmark: Dollars
    actual: Dollars
    aqs: Percent
    gaf: Factor
    practice_revenue: DollarsOrNull = None


def _ocm_reconciliation(sheet: TermSheet, given: OcmReconciliation) -> tuple[Result, Iterable[Line]]:
    if given.track == ocm.ALTERNATIVE and given.practice_revenue is None:
        raise Misfit("practice_revenue", "is missing; this track's limits are fractions of it", "missing")
    found = ocm.reconcile(
        sheet,
        given.initiated_on,
        given.track,
        given.benchmark,
        given.actual,
        given.aqs,
        given.gaf,
        given.practice_revenue or ZERO,
    )
    return _settled(sheet, found), found.lines


_reconciled = {"benchmark": "10000000.00", "actual": "9300000.00", "aqs": "75", "gaf": "1.00"}
_arranged = [f"{name}_{ra}" for name in ("discount", "stop_gain", "stop_loss") for ra in ("ra1", "ra2")]
_novel = {
    "participant_actual": "2300000.00",
    "participant_novel": "345000.00",
    "comparison_share": "0.09",
    "trended_benchmark": "2180000.00",
}
_drug = {"lics": "412.50", "gdcc_above": "9150.25"}
_steps = frozenset({"pbp_quality", "pbp_steps", "pbr_steps", "sequestration"})

TRIALS = (
    Trial(EOM, "episode-window", "When an episode ends, and its performance period.", EpisodeWindow, _window,
          {"initiated_on": "2024-08-31"}, CALENDAR | {"episode_months", "part_d_lookback_days"}),
    Trial(EOM, "meos", "Monthly payments of one episode, before coinsurance and sequestration.", Meos, _meos,
          {"initiated_on": "2024-11-20", "months": 6, "dual_eligible": True}, CALENDAR | frozenset(_states)),
    Trial(EOM, "reconciliation", "Target, threshold, and what is earned or owed.", Reconciliation, _reconciliation,
          {"initiated_on": "2024-07-01", "risk_arrangement": "RA1", **_reconciled},
          CALENDAR | _steps | {"pbr_quality", "recoupment_threshold", *_arranged}),
    Trial(EOM, "benchmark", "Baseline x experience x clinical x trend x novel therapy.", Benchmark, _benchmark,
          {"baseline": "38500.00", "experience": "0.985", "cancer_type": "breast", "ever_metastatic": True,
           "her2_positive": True, "trend": "1.082", "novel_therapy": "1"},
          CALENDAR | {"clinical_lung_metastatic", "clinical_colorectal_metastatic", "clinical_breast_metastatic_her2"}),
    Trial(EOM, "novel-therapy", "What use of new drugs adds to a benchmark.", NovelTherapy, _novel_therapy,
          _novel, CALENDAR | {"novel_therapy_share"}),
    Trial(EOM, "part-d", "What a fill counts as expenditure.", PartD, _part_d,
          _drug, CALENDAR | {"part_d_above_threshold_share"}),
    Trial(EOM, "standardise", "Sequestration added back.", Standardise, _standardise,
          {"standardised": "9604.00"}, CALENDAR | {"sequestration"}),
    Trial(EOM, "biosimilar-add-on", "What of a biosimilar's payment does not count.", BiosimilarAddOn, _biosimilar,
          {"service_on": "2024-07-01", "units": "40", "reference_asp": "12.50"},
          CALENDAR | {"biosimilar_add_on", "biosimilar_add_on_counted", "part_b_paid_share"}),
    Trial(OCM, "meos", "Monthly payments of one episode.", OcmMeos, _ocm_meos,
          {"initiated_on": "2018-03-01", "months": 6}, CALENDAR | {"meos_payment", "meos_months_max"}),
    Trial(OCM, "reconciliation", "Target, and what is earned or owed on a track.", OcmReconciliation,
          _ocm_reconciliation, {"initiated_on": "2018-03-01", "track": "one_sided", **_reconciled},
          CALENDAR | _steps | {f"{name}_{track}" for track in ocm.TRACKS for name in
                               ("discount", "stop_gain", "stop_loss", "recoupment_threshold")}
          - {"stop_loss_one_sided", "recoupment_threshold_one_sided"}),
    Trial(OCM, "benchmark", "Baseline x experience x trend x novel therapy.", OcmBenchmark, _ocm_benchmark,
          {"baseline": "38500.00", "experience": "0.985", "trend": "1.082", "novel_therapy": "1"}, CALENDAR),
    Trial(OCM, "novel-therapy", "What use of new drugs adds to a benchmark, all cancers together.", NovelTherapy,
          _novel_therapy, _novel, CALENDAR | {"novel_therapy_share"}),
    Trial(OCM, "part-d", "What a fill counts as expenditure.", PartD, _part_d,
          _drug, CALENDAR | {"part_d_above_threshold_share"}),
    Trial(OCM, "standardise", "Sequestration added back.", Standardise, _standardise,
          {"standardised": "9604.00"}, CALENDAR | {"sequestration"}),
)  # fmt: skip
