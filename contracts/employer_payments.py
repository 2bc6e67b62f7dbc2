"""What an employer's settled period moves, and what a practice is told of it: payments, a statement, a contest pack.

A clause that is pending leaves what an earlier run determined in force. Plain values as JSON has them; members are
tokens. The same settlement gives the same documents. They are the practice's and the plan administrator's: an employer
sees none of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.clauses import Line
from contracts.determining import Asked, Maker, Standing, Wanted
from contracts.employer_evidence import PlanEvidence
from contracts.employer_settlement import CLAUSES, PlanSettlement, Pool, PracticeSettlement, claims_of
from contracts.metrics.measured import four_places
from contracts.metrics.records import INSTITUTIONAL, Claim, EpisodeRecord
from contracts.metrics.returns import ReturnRecord, curve
from contracts.outcome import Payment

Document = dict[str, Any]
CAUSES = {0: "not known or censored", 1: "returned", 2: "died", 3: "left", 4: "long-term disability"}


def moved(
    asked: Asked, settlement: PlanSettlement, one: PracticeSettlement, standing: Sequence[Standing], pack_digest: str
) -> list[Payment]:
    """What a run moves for a practice under a plan: the difference to what stands, clause by clause."""
    maker = Maker(asked, settlement.sheet, settlement.period, settlement.run, one.practice)
    pack = Line("PACK", "Contest pack", f"sha256:{pack_digest}", 0, ())
    wanted: dict[str, Wanted] = {made.kind: (made.amount_cents, (*made.lines, pack), ()) for made in one.determinations}
    waits = {CLAUSES[clause] for clause, _ in one.pending}
    maker.settle_up(wanted, standing, [kind for kind in CLAUSES.values() if kind not in waits])
    return maker.made


def pending(one: PracticeSettlement) -> tuple[str, ...]:
    """Each clause that waits, with its reason: 'T2:minimum_denominator'."""
    return tuple(f"{clause}:{reason}" for clause, reason in one.pending)


def statement(
    settlement: PlanSettlement, one: PracticeSettlement, standing: Sequence[Standing], payments: Sequence[Payment]
) -> Document:
    """A practice's figures under one plan, each clause with its lines, and what moves now."""
    period = settlement.period
    return {
        "contract": settlement.sheet.contract,
        "terms": settlement.sheet.version,
        "plan": settlement.plan,
        "practice": one.practice,
        "period": period.number,
        "run": settlement.run,
        "initiated_from": period.first_on,
        "initiated_through": period.last_on,
        "over_on": period.over_on,
        "due_on": period.due_on,
        "episodes": len(one.episodes),
        "target_cents": one.target_cents,
        "actual_cents": one.actual_cents,
        "non_drug_allowed_cents": one.non_drug_cents,
        "fees_cents": one.fees_cents,
        "group": None,
        "measured_over": _pool(one.pool),
        "clauses": [
            {
                "kind": made.kind,
                "amount_cents": made.amount_cents,
                "lines": [_line(line) for line in made.lines],
                "operands": made.operands,
            }
            for made in one.determinations
        ],
        "before": [{"payment_id": s.payment_id, "kind": s.kind, "amount_cents": s.amount_cents} for s in standing],
        "moved": [
            {"payment_id": p.payment_id, "kind": p.kind, "amount_cents": p.amount_cents, "reverses": p.reverses or None}
            for p in payments
        ],
        "moved_cents": sum(payment.amount_cents for payment in payments),
        "in_force_cents": sum(held.amount_cents for held in standing)
        + sum(payment.amount_cents for payment in payments),
        "pending": list(pending(one)),
        "illustrative": True,
    }


def _pool(pool: Pool | None) -> Document | None:
    """Whom outcomes were measured over, and what they came to; no person can be told from it."""
    if pool is None:
        return None
    return {
        "periods": list(pool.periods),
        "people_absent": pool.people,
        "compared": pool.compared.people,
        "returned_by_day_182": pool.compared.observed,
        "expected_by_day_182": four_places(pool.compared.expected),
        "rate_by_week_26": four_places(pool.rate),
        "median_days": curve(pool.returns).median(),
        "harm_exceeded": list(pool.harm.exceeded),
        "quality": [
            {
                "metric": scored.metric,
                "weight": four_places(scored.weight),
                "value": four_places(scored.value),
                "score": four_places(scored.score),
            }
            for scored in pool.quality
        ],
    }


def _line(line: Line) -> Document:
    return {
        "clause": line.clause,
        "label": line.label,
        "arithmetic": line.arithmetic,
        "amount_cents": line.amount_cents,
        "terms": [term.as_use() for term in line.terms],
    }


def contest_pack(plan: PlanEvidence, settlement: PlanSettlement, one: PracticeSettlement) -> Document:
    """Each episode with its target, cost, claims in or out, and what is known of the person's return to work.

    Claims under 42 CFR Part 2 are in `not_itemised_cents` alone, unless the person consented that it sees them.
    """
    holders = {episode.episode_id: member for member, episode in plan.episodes}
    episodes = []
    for episode in one.episodes:
        member = holders[episode.episode_id]
        returns = plan.returns.get(episode.episode_id)
        claims = [_claimed(claim, episode) for claim in claims_of(member, episode, one.practice)]
        told = sum(claim["counted_cents"] for claim in claims)
        episodes.append(
            {
                "episode_id": episode.episode_id,
                "member": member.member,
                "started_on": episode.started_on,
                "ends_on": episode.ends_on,
                "cancer_type": episode.cancer,
                "cost_cents": episode.expenditure_cents,
                "target_cents": episode.target_cents,
                "claims": claims,
                "not_itemised_cents": episode.expenditure_cents - told,
                "return_to_work": None if returns is None else _return(returns),
            }
        )
    return {
        "contract": settlement.sheet.contract,
        "plan": settlement.plan,
        "practice": one.practice,
        "period": settlement.period.number,
        "run": settlement.run,
        "cancers": dict(sorted(Counter(episode.cancer for episode in one.episodes).items())),
        "episodes": episodes,
    }


def _claimed(claim: Claim, episode: EpisodeRecord) -> Document:
    """A claim with a day in the episode: what of it counts, and why."""
    if claim.form == INSTITUTIONAL:
        inside = episode.holds(claim.admitted_on if claim.inpatient else claim.on)
        counted, why = claim.paid_cents if inside else 0, "admitted" if claim.inpatient else "began"
        reason = f"{why} in the episode" if inside else f"{why} before the episode"
    else:
        counted = sum(line.paid_cents for line in claim.lines if episode.holds(line.on))
        held = sum(episode.holds(line.on) for line in claim.lines)
        reason = f"{held} of {len(claim.lines)} lines in the episode"
        inside = held > 0
    return {
        "claim_id": claim.claim_id,
        "on": claim.on,
        "in": inside,
        "reason": reason,
        "paid_cents": claim.paid_cents,
        "counted_cents": counted,
    }


def _return(one: ReturnRecord) -> Mapping[str, Any]:
    """By durations, as the estimator takes them; a day of return is in the evidence of the bonus, not here."""
    return {
        "stayed_at_work": one.maintained,
        "absent": one.absent,
        "days": one.days if one.absent else None,
        "cause": CAUSES[one.cause] if one.absent else None,
        "conflict": one.conflict,
        "expected_by": list(one.stratum),
    }
