"""What a practice is told of a settled period: a statement of figures, and a pack to contest each of them with.

Plain values as JSON has them: cents as integers, exact decimals as text, days as ISO text. Members are tokens. The same
settlement gives the same documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from contracts.cases import Case, Claimed, MonthlyLine
from contracts.determining import Standing
from contracts.meos_lines import OWED
from contracts.outcome import Payment
from contracts.parts import Adoption, read_ref
from contracts.quality import Measured
from contracts.settled import Group, Practice, Priced, Settlement
from contracts.settlement import components
from contracts.settlement_payments import RECOUPMENT, operands, parts
from contracts.terms import DatedValue, TermSheet
from contracts.units import cents, dollars

Document = dict[str, Any]


def statement(
    sheet: TermSheet,
    adoption: Adoption,
    settlement: Settlement,
    practice: Practice,
    group: Group | None,
    standing: Sequence[Standing],
    moved: Sequence[Payment],
    remitted: Mapping[str, int] = MappingProxyType({}),
) -> Document:
    """A practice's figures: pool, benchmark, actual, zone, quality, result, billed months, and what moves now.

    `remitted` are cents that moved for earlier payments, by id.
    """
    period, method = settlement.period, settlement.method
    return {
        "contract": sheet.contract,
        "terms": sheet.version,
        "practice": practice.name or None,
        "period": period.number,
        "run": settlement.run,
        "initiated_from": period.first_on,
        "initiated_through": period.last_on,
        "over_on": period.over_on,
        "due_on": period.due_on,
        "closed_through": adoption.closed_through or None,
        "takes_part": practice.takes_part,
        "pool": practice.pool or None,
        "pool_practices": [one.name for one in group.practices] if group and group.pool else [],
        "episodes": _episodes(practice),
        "spending": _spending(practice),
        "benchmark_cents": practice.benchmark_cents,
        "actual_cents": practice.actual_cents,
        "novel_therapy": [
            {"cancer_type": cancer, "factor": f"{factor:f}", "arithmetic": line.arithmetic}
            for cancer, factor, line in practice.novel
        ],
        "group": _group(sheet, settlement, practice, group),
        "share_cents": practice.share_cents,
        "meos": _meos(practice),
        "before": [
            {
                "payment_id": s.payment_id,
                "kind": s.kind,
                "amount_cents": s.amount_cents,
                "remitted_cents": remitted.get(s.payment_id, 0),
                "open_cents": s.amount_cents - remitted.get(s.payment_id, 0),
            }
            for s in standing
        ],
        "moved": [
            {"payment_id": p.payment_id, "kind": p.kind, "amount_cents": p.amount_cents, "reverses": p.reverses or None}
            for p in moved
        ],
        "moved_cents": sum(payment.amount_cents for payment in moved),
        "in_force_cents": sum(one.amount_cents for one in standing) + sum(one.amount_cents for one in moved),
        "pending": list(group.pending) if group else ["not_taking_part"],
        "said": list(group.said) if group else [],
        "words": {"expected": method.expected, "earned": _words(method.earned), "owed": _words(method.owed)},
        "invented": method.illustrative,
        "illustrative": method.illustrative
        or any(term["illustrative"] for payment in moved for line in payment.event["lines"] for term in line["terms"]),
    }


def _words(kind: str) -> str:
    """A kind of payment as a reader says it."""
    known = {"PBP": "Performance-based payment", "PBR": "Performance-based recoupment"}
    return known.get(kind, kind.replace("_", " ").capitalize())


def _episodes(practice: Practice) -> Document:
    reasons = Counter(_why(case) for case in practice.others)
    return {"settled": len(practice.priced), "others": dict(sorted(reasons.items()))}


def _why(case: Case) -> str:
    if case.included and case.takes_part:
        return "not_reconciled"
    return case.void_reason or case.exclusion or "not_taking_part"


def _spending(practice: Practice) -> Document:
    whole = sum(one.case.expenditure_cents for one in practice.priced)
    return {
        "components_cents": components(practice),
        "expenditure_cents": whole,
        "winsorised": dict(sorted(Counter(one.winsorised for one in practice.priced if one.winsorised).items())),
        "counted_cents": practice.actual_cents,
    }


def _group(sheet: TermSheet, settlement: Settlement, practice: Practice, group: Group | None) -> Document | None:
    """The result of the practice, or of its pool together."""
    if group is None:
        return None
    result, quality = group.result, group.quality
    return {
        "practices": len(group.practices),
        "episodes": len(group.priced),
        "arrangement": group.arrangement or None,
        "benchmark_cents": group.benchmark_cents,
        "actual_cents": group.actual_cents,
        "target_cents": cents(result.target, sheet.rounding) if result else None,
        "threshold_cents": cents(result.threshold, sheet.rounding) if result else None,
        "zone": result.zone if result else None,
        "geographic_adjustment": f"{group.gaf:f}" if result and group.gaf else None,
        "quality_score": f"{quality.score:f}" if quality and quality.score is not None else None,
        "quality_source": quality.source if quality else "none",
        "quality": [_measure(one) for one in quality.measures] if quality else [],
        "pbp_cents": result.pbp_cents if result else None,
        "pbr_cents": result.pbr_cents if result else None,
        "lines": [_line(line) for line in result.lines] if result else [],
        "operands": operands(settlement, group),
        "parts": _parts(group, practice),
    }


def _parts(group: Group, practice: Practice) -> Document | None:
    """By what a pool's result is divided, in dollars, and whose turn is the practice's, from 1; None of one alone."""
    if not group.pool:
        return None
    weights, nth = parts(group, practice)
    return {"benchmarks": [f"{dollars(weight):.2f}" for weight in weights], "nth": nth + 1}


def _measure(one: Measured) -> Document:
    return {
        "measure": one.measure,
        "numerator": one.numerator,
        "denominator": one.denominator,
        "rate": None if one.rate is None else f"{one.rate:.4f}",
        "points": None if one.points is None else _number(one.points),
        "possible": _number(one.possible),
        "source": one.source,
        "why_not": one.why_not or None,
    }


def _number(value: Any) -> str:
    text = f"{value:.6f}"
    return text.rstrip("0").rstrip(".")


def _meos(practice: Practice) -> Document:
    """Billed months: paid on claims, owed, and coming back by reason."""
    reasons: dict[str, list[int]] = {}
    for line in practice.recouped:
        reasons.setdefault(line.disposition, []).append(line.paid_cents)
    return {
        "billed": len(practice.monthly),
        "paid_cents": sum(line.paid_cents for line in practice.monthly),
        "owed": sum(line.disposition == OWED for line in practice.monthly),
        "recouped": {why: {"months": len(paid), "cents": sum(paid)} for why, paid in sorted(reasons.items())},
        "recouped_cents": practice.recouped_cents,
    }


def contest_pack(settlement: Settlement, practice: Practice, payer: str, topic: str) -> Document:
    """Everything a practice may contest: each episode with its claims in or out, its visits, and every billed month.

    Claims under 42 CFR Part 2 are in the totals of their components and in `not_itemised_cents` alone, but of people
    who consented that the practice sees them.
    """
    priced = [_priced(one, topic, practice.name) for one in practice.priced]
    others = [_case(case, topic, practice.name) for case in practice.others]
    return {
        "payer": payer,
        "practice": practice.name or None,
        "period": settlement.period.number,
        "run": settlement.run,
        "invented": settlement.method.illustrative,
        "episodes": priced,
        "not_settled": others,
        "billed_months": [_month(line) for line in practice.monthly],
        "recouped": [_month(line) for line in practice.recouped],
        "recouped_cents": practice.recouped_cents,
    }


def _priced(one: Priced, topic: str, practice: str) -> Document:
    line = one.line
    return {
        **_case(one.case, topic, practice, settles=True),
        "counted_cents": one.counted_cents,
        "add_on_cents": one.add_on_cents,
        "winsorised": one.winsorised or None,
        "novel_cents": one.novel_cents,
        "baseline_from": one.baseline_from or None,
        "benchmark_cents": one.benchmark_cents if line else None,
        "arithmetic": line.arithmetic if line else None,
        "terms": [term.as_use() for term in (*one.limits, *(line.terms if line else ()), *one.values)],
        "missing": list(one.missing),
    }


def _case(case: Case, topic: str, practice: str, settles: bool = False) -> Document:
    hidden = [claim for claim in case.claims if claim.part2 and practice not in case.consented]
    return {
        "episode_id": case.episode_id,
        "member": case.member,
        "started_on": case.started_on,
        "ends_on": case.ends_on,
        "cancer_type": case.cancer_type,
        "visits_by_cancer": dict(case.cancers),
        "status": case.status,
        "why_not": None if settles else _why(case),
        "opened_by": _opening(case, topic, hidden),
        "attributed_by": case.attribution.how or None,
        "first_practice": case.attribution.first or None,
        "visits_by_practice": dict(case.attribution.counts),
        "died_on": case.died_on or None,
        "ever_metastatic": case.ever_metastatic,
        "her2_positive": case.her2_positive,
        "outcomes": {
            "outpatient_therapy": case.outpatient_therapy,
            "admission": case.admission,
            "emergency": case.emergency,
            "therapy_at_end": case.therapy_at_end,
            "hospice": case.hospice,
        },
        "components_cents": dict(case.components),
        "months_counted": case.meos_months,
        "expenditure_cents": case.expenditure_cents,
        "billed_months": [_month(line) for line in case.meos],
        "claims": [_claim(claim, case, topic) for claim in case.claims if claim not in hidden],
    } | ({"not_itemised_cents": sum(claim.amount_cents for claim in hidden)} if hidden else {})


def _opening(case: Case, topic: str, hidden: Sequence[Claimed]) -> Document:
    """The fact that opened the episode; of a claim that is not itemised its kind alone."""
    event_id, kind, offset = read_ref(case.opened_by)
    told: Document = {"source": case.source, "event_id": event_id, "type": kind}
    told["position"] = {"topic": topic, "partition": case.partition, "offset": offset}
    if case.opened_by in [claim.ref for claim in hidden]:
        told |= {"event_id": None, "position": None}
    return told


def _claim(claim: Claimed, case: Case, topic: str) -> Document:
    event_id, _, offset = read_ref(claim.ref)
    return {
        "claim_id": claim.claim_id,
        "family": claim.family,
        "action": claim.action,
        "in": claim.inside,
        "reason": claim.reason,
        "amount_cents": claim.amount_cents,
        "event_id": event_id,
        "position": {"topic": topic, "partition": case.partition, "offset": offset},
    }


def _month(line: MonthlyLine) -> Document:
    return {
        "month": line.month,
        "day": line.day,
        "practice": line.practice,
        "paid_cents": line.paid_cents,
        "disposition": line.disposition,
        "event_id": read_ref(line.ref)[0],
    }


def _line(line: Any) -> Document:
    terms: Sequence[DatedValue] = line.terms
    return {
        "clause": line.clause,
        "label": line.label,
        "arithmetic": line.arithmetic,
        "amount_cents": line.amount_cents,
        "terms": [term.as_use() for term in terms],
    }


def answer(document: Mapping[str, Any], settlement: Settlement) -> Document:
    """What of a statement the answer to a request says to everyone who follows settlements."""
    group = document["group"] or {}
    moved = Counter[str]()
    for payment in document["moved"]:
        moved[payment["kind"]] += payment["amount_cents"]
    return {
        "pool": document["pool"],
        "benchmark_cents": document["benchmark_cents"],
        "actual_cents": document["actual_cents"],
        "zone": group.get("zone"),
        "quality_score": group.get("quality_score"),
        "share_cents": document["share_cents"],
        "pbp_cents": moved[settlement.method.earned],
        "pbr_cents": moved[settlement.method.owed],
        "recouped_cents": moved[RECOUPMENT],
        "moved_cents": document["moved_cents"],
        "pending": document["pending"],
        "said": document["said"],
    }
