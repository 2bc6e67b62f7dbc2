"""Evidence collected first and judged once comes to what the fold has decided fact by fact."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from carepact.generate import write
from contracts.meos_lines import DISPOSITIONS, OWED
from tests.oracle.gathered import Gathered, Recorded, gathered

MEMBERS = 800


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    out = tmp_path_factory.mktemp("population")
    write(out, MEMBERS, seed=7, payers=("medicare",))
    core = Recorded("medicare")
    core.publish(out / "practices.ndjson")
    core.publish(Path(out / "medicare.ndjson"))
    return core


@pytest.fixture(scope="module")
def found(core: Recorded) -> Gathered:
    return gathered("medicare", core.facts)


def test_episodes_their_money_and_their_months_are_those_of_the_fold(core: Recorded, found: Gathered) -> None:
    wanted = {
        e.episode_id: (
            e.started_on, e.ends_on, e.period, e.cancer_type, e.status, e.void_reason, e.exclusion, e.practice,
            e.expenditure_cents, sorted(owed.period for owed in e.owed.values()),
        )
        for _, e in core.episodes()
    }  # fmt: skip
    got = {
        c.episode_id: (
            c.started_on, c.ends_on, c.period, c.cancer_type, c.status, c.void_reason, c.exclusion, c.practice,
            c.expenditure_cents, sorted(line.month for line in c.meos if line.disposition == OWED),
        )
        for c in found.cases
        if c.episode_id
    }  # fmt: skip
    assert got == wanted


def test_every_billed_month_is_owed_or_has_its_reason(found: Gathered) -> None:
    seen = Counter(line.disposition for case in found.cases for line in case.meos)
    print(dict(seen))
    assert [one for one in DISPOSITIONS if not seen[one]] == []


def test_the_parts_of_spending_sum_to_what_the_claims_in_the_episode_say(found: Gathered) -> None:
    for case in found.cases:
        if case.episode_id:
            inside = sum(claim.amount_cents for claim in case.claims if claim.inside)
            assert sum(case.components.values()) == inside == sum(claim.amount_cents for claim in case.claims)
