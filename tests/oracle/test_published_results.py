"""What was published of EOM and OCM (EOM 8), as a check of direction and scale: none of it can be reconciled to."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from contracts.roster import bundled_sheet
from contracts.terms import TermSheet
from contracts.trial import answer, find
from tests.oracle.gathered import Recorded, gathered
from tests.oracle.settling import make

EOM = "medicare-eom"
BENCHMARK = Decimal(10_000_000)
AVERAGE_SAVING = Decimal("0.021")
"""What OCM saved of an episode's payments on average."""

MYELOMA = Decimal("0.19")
"""By how much spending on multiple myeloma ran above OCM's benchmark."""

NOVEL_ALL, NOVEL_EOM, NOVEL_MOST = Decimal("0.2095"), Decimal("0.242"), Decimal("0.494")
"""Novel therapy's share of all cost: over all types, over EOM's seven, and of the type with most."""


def settled(of_benchmark: Decimal, arrangement: str, initiated_on: str) -> dict[str, object]:
    """A period whose cost is so much of its benchmark, of the best quality."""
    given = {
        "initiated_on": initiated_on, "risk_arrangement": arrangement, "benchmark": str(BENCHMARK),
        "actual": str(BENCHMARK * of_benchmark), "aqs": "100", "gaf": "1",
    }  # fmt: skip
    return answer(find(EOM, "reconciliation"), given)


@pytest.mark.parametrize("arrangement", ["RA1", "RA2"])
@pytest.mark.parametrize("initiated_on", ["2023-07-01", "2025-01-01"])
def test_an_average_saving_earns_nothing_so_that_monthly_payments_are_a_net_loss(
    arrangement: str, initiated_on: str
) -> None:
    """2.1 % is less than the discount of 3 or 4 %: no payment, none owed, and the months are paid besides."""
    found = settled(1 - AVERAGE_SAVING, arrangement, initiated_on)
    assert (found["zone"], found["pbp_cents"], found["pbr_cents"]) == ("neutral", 0, 0)
    months = answer(find(EOM, "meos"), {"initiated_on": initiated_on, "months": 6, "dual_eligible": False})
    assert 0 < months["amount_cents"] < 6 * 160_00  # less than OCM paid


@pytest.mark.parametrize(("arrangement", "most"), [("RA1", Decimal("0.02")), ("RA2", Decimal("0.06"))])
def test_a_type_that_is_mispriced_as_myeloma_was_is_stopped_by_the_stop_loss(arrangement: str, most: Decimal) -> None:
    found = settled(1 + MYELOMA, arrangement, "2025-01-01")
    assert found["zone"] == "owed"
    assert found["pbr_cents"] == int(BENCHMARK * most * Decimal("0.90") * 100)


def test_use_of_new_drugs_beyond_that_of_others_raises_a_benchmark_a_little_and_less_use_never_lowers_it() -> None:
    def factor(novel: Decimal, others: Decimal) -> Decimal:
        given = {
            "participant_actual": str(BENCHMARK), "participant_novel": str(BENCHMARK * novel),
            "comparison_share": str(others), "trended_benchmark": str(BENCHMARK),
        }  # fmt: skip
        return Decimal(answer(find(EOM, "novel-therapy"), given)["factor"])

    assert factor(NOVEL_EOM, NOVEL_ALL) == Decimal("1.0260000")  # 1 + 0.8 x (0.242 - 0.2095)
    assert factor(NOVEL_ALL, NOVEL_EOM) == factor(NOVEL_ALL, NOVEL_ALL) == 1
    assert 1 < factor(NOVEL_MOST, NOVEL_ALL) < Decimal("1.25")


def test_clinical_adjusters_are_as_published() -> None:
    sheet = TermSheet(bundled_sheet(EOM)[2])
    names = ("lung_metastatic", "colorectal_metastatic", "breast_metastatic_her2")
    found = [sheet.on(f"clinical_{name}", "2023-07-01") for name in names]
    assert [one.number for one in found] == [Decimal("1.06"), Decimal("1.10"), Decimal("1.23")]


def test_systemic_therapy_is_the_larger_part_of_what_invented_episodes_cost(tmp_path: Path) -> None:
    """About 58 % in period 1; more here, where little other care is invented. Drugs alone differ many times over."""
    made = make(tmp_path, 60, seed=11, variants=1, known_through=date(2026, 8, 31))
    core = Recorded("medicare")
    for path in (made.practices, made.figures, made.all):
        core.publish(path)
    cases = [case for case in gathered("medicare", core.facts).cases if case.settles]
    drugs = [
        sum(case.components.get(name, 0) for name in ("part_b_drugs", "part_d_subsidy", "part_d_above"))
        for case in cases
    ]
    share = Decimal(sum(drugs)) / sum(sum(case.components.values()) for case in cases)
    assert Decimal("0.50") < share < Decimal("0.90")
    assert max(drugs) > 20 * min(cost for cost in drugs if cost)
