"""What a practice is sent back of a settled period beside its statement: how its patients fared, and what was agreed.

`shown` is made with the settlement and stands in the statement; `feedback` puts the report together from a statement
and its contest pack: spending by component and cancer, utilisation, quality in all and by dual status, age and sex, the
attribution list, claim lines, sharing with Care Partners, benefit enhancements. Patients are tokens. Groups are told
however small they are: the list beside them names the practice's own patients one by one, so that a hidden cell would
hide nothing from it, and the report is for nobody else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from contracts.cases import Case
from contracts.period import Period
from contracts.practice_facts import PracticeFacts
from contracts.quality import counts
from contracts.settled import Practice
from contracts.units import cents, dollars

Document = dict[str, Any]

FULL_DUAL, PARTIAL_DUAL = frozenset({"02", "04", "08"}), frozenset({"01", "03", "05", "06"})
AGES = ((65, "under 65"), (70, "65-69"), (75, "70-74"), (80, "75-79"))
"""Below each age its band; from the last on another."""
SERVICES = {
    "inpatient": "stays",
    "emergency": "emergency_visits",
    "outpatient": "outpatient_claims",
    "skilled_nursing": "skilled_nursing_claims",
    "home_health": "home_health_claims",
    "hospice": "hospice_claims",
    "physician": "physician_claims",
    "dmepos": "supplier_claims",
    "part_d": "fills",
}


def shown(period: Period, practice: Practice, facts: PracticeFacts) -> Document:
    """Of the settled episodes: use, and quality by who the patients are; and what the practice agreed."""
    cases = [one.case for one in practice.priced]
    agreed = facts.agreed(practice.name, period.first_on, period.over_on)
    for partner in agreed["care_partners"]:
        partner["amount_cents"] = cents(Decimal(partner["share"]) * dollars(practice.share_cents))
    return {
        "utilisation": utilisation(cases),
        "quality_by": {"dual_status": _by(_dual, cases), "age": _by(_age, cases), "sex": _by(_sex, cases)},
        **agreed,
    }


def utilisation(cases: Sequence[Case]) -> Document:
    """Claims that count in the episodes, by kind, each family once; and those per 100 episodes with two decimals."""
    used = Counter[str]()
    for case in cases:
        families = {(claim.service, claim.family) for claim in case.claims if claim.inside}
        used.update(SERVICES[service] for service, _ in families if service in SERVICES)
    of = len(cases)
    return {
        "episodes": of,
        "used": {name: used[name] for name in SERVICES.values()},
        "per_100": {name: f"{Decimal(100 * used[name]) / of:.2f}" for name in SERVICES.values()} if of else {},
    }


def _by(group_of: Callable[[Case], str], cases: Iterable[Case]) -> Document:
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[group_of(case)].append(case)
    return {
        name: {
            "episodes": len(some),
            "measures": {measure: list(counted) for measure, counted in counts(some).items()},
        }
        for name, some in sorted(groups.items())
    }


def _dual(case: Case) -> str:
    """By the CMS dual status at the episode's start."""
    return "full" if case.dual_code in FULL_DUAL else "partial" if case.dual_code in PARTIAL_DUAL else "none"


def _age(case: Case) -> str:
    """By the age reached in the year of the episode's start."""
    if not case.age:
        return "not known"
    return next((band for below, band in AGES if case.age < below), "80 and over")


def _sex(case: Case) -> str:
    return case.sex or "not known"


def feedback(statement: Mapping[str, Any], pack: Mapping[str, Any]) -> Document:
    """The report of a practice and period; figures of a statement without the groups' are left out as not told."""
    group = statement["group"] or {}
    episodes = [*pack["episodes"], *pack["not_settled"]]
    return {
        **{
            name: statement.get(name)
            for name in (
                "payer", "contract", "terms", "practice", "period", "run", "request_id", "initiated_from",
                "initiated_through", "over_on", "closed_through", "takes_part", "pool", "pack_digest",
            )
        },
        "illustrative": statement["illustrative"],
        "episodes": statement["episodes"],
        "spending": {
            **statement["spending"],
            "benchmark_cents": statement["benchmark_cents"],
            "by_cancer": _by_cancer(pack["episodes"]),
        },
        "utilisation": statement.get("utilisation"),
        "quality": {
            "score": group.get("quality_score"),
            "measures": group.get("quality", []),
            "by": statement.get("quality_by"),
        },
        "result": {
            name: group.get(name) for name in ("arrangement", "zone", "target_cents", "threshold_cents")
        } | {"share_cents": statement["share_cents"]},
        "meos": statement["meos"],
        "care_partners": statement.get("care_partners", []),
        "benefit_enhancements": statement.get("benefit_enhancements", []),
        "attribution": [_attributed(one) for one in episodes],
        "claims": [
            {"member": one["member"], "episode_id": one["episode_id"], **claim}
            for one in episodes
            for claim in one["claims"]
        ],
    }  # fmt: skip


def _by_cancer(episodes: Sequence[Mapping[str, Any]]) -> list[Document]:
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in episodes:
        groups[one["cancer_type"]].append(one)
    found = []
    for cancer, some in sorted(groups.items()):
        components = Counter[str]()
        for one in some:
            components.update(one["components_cents"])
        spent = sum(one["expenditure_cents"] for one in some)
        known = [one["benchmark_cents"] for one in some if one["benchmark_cents"] is not None]
        found.append(
            {
                "cancer_type": cancer,
                "episodes": len(some),
                "components_cents": dict(sorted(components.items())),
                "expenditure_cents": spent,
                "mean_cents": cents(dollars(spent) / len(some)),
                "benchmark_cents": sum(known) if len(known) == len(some) else None,
            }
        )
    return found


def _attributed(one: Mapping[str, Any]) -> Document:
    names = (
        "member", "episode_id", "started_on", "ends_on", "cancer_type", "status", "why_not", "attributed_by",
        "first_practice", "visits_by_practice", "died_on", "expenditure_cents",
    )  # fmt: skip
    return {name: one[name] for name in names}
