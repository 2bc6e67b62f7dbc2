"""What holds for every record and every period: no order matters, parts add up, more quality never pays less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from contracts.employer_settlement import settle
from contracts.envelope import Fact
from contracts.metrics.catalogue import measure
from contracts.metrics.reading import Reader
from contracts.metrics.records import EpisodeRecord
from contracts.metrics.scope import Scope
from contracts.return_to_work import incidence
from contracts.roster import bundled_sheet
from contracts.savings import shared
from contracts.terms import TermSheet
from tests.contracts.metrics.given import CODES, PLAN, facts_of
from tests.contracts.test_employer_settlement import plan, sheet
from tests.contracts.test_properties import both

DAYS = st.integers(0, 500).map(lambda n: (date(2024, 10, 1) + timedelta(days=n)).isoformat())
WHO = st.sampled_from(("a", "b", "c"))
CODE = st.sampled_from(("J9035", "Q5118", "J2505", "Q5111", "J9171", "99284", "96413", "19301", "G0023", "77067"))
DIAGNOSIS = st.sampled_from(("C50911", "R509", "E860", "Z515", "I10"))
Told = dict[str, Any]


def said(kind: str, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Told]:
    drawn = st.fixed_dictionaries({kind: DAYS, "who": WHO, **more})
    return drawn.map(lambda one: {kind: one[kind], **one})


CLAIM = st.one_of(
    said("line", code=CODE, place=st.sampled_from(("11", "22", "23")), paid=st.integers(0, 900),
         units=st.integers(1, 50), dx=DIAGNOSIS.map(lambda d: [d]), denied=st.booleans()),
    said("facility", revenue=st.sampled_from(("0450", "0456", "0200")), at=st.sampled_from(("H1", "H2")),
         paid=st.integers(0, 900), dx=DIAGNOSIS.map(lambda d: [d])),
    said("fill", ndc=st.just("16729003415"), cost=st.integers(0, 90)),
)  # fmt: skip
OTHER = st.one_of(
    said("survey", of=st.just("PHQ-9"), scores=st.fixed_dictionaries({"phq9_total": st.integers(0, 27)})),
    said("contact", program=st.sampled_from(("navigation", "palliative", "hrsn", "after_hours")),
         **{"as": st.sampled_from(("offered", "reached", "closed"))}),
    said("experience", scores=st.fixed_dictionaries({"access": st.integers(0, 100)})),
    said("found", stage=st.sampled_from(("I", "III", "IV"))),
    said("tier", code=st.sampled_from(("J9035", "Q5118")), **{"is": st.integers(1, 5)}, costs=st.integers(0, 50)),
)  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> list[Told]:
    """Facts of three people; some claims are void or moved."""
    told = [dict(one) for one in draw(st.lists(st.one_of(CLAIM, OTHER), min_size=1, max_size=14))]
    for number, one in enumerate(list(told), 1):
        one["id"] = f"c{number}"
        if next(iter(one)) in ("line", "facility") and draw(st.booleans()):
            told.append({"void": f"c{number}", "who": one["who"], "id": f"v{number}"})
    seen = {(one.get("tier"), one.get("code"), one["who"]): one for one in told if "tier" in one}
    everybody: list[Told] = [{"born": 1975, "sex": "female", "who": who} for who in ("a", "b", "c")]
    return everybody + [one for one in told if "tier" not in one or seen[one["tier"], one["code"], one["who"]] is one]


def figures(facts: Sequence[Fact], readers: int = 1) -> dict[tuple[str, str], Any]:
    """Every metric, of facts read in one go or by partitions one after the other."""
    reader = Reader()
    for part in range(readers):
        for fact in facts:
            if sum(fact.member.encode()) % readers == part:
                reader.take(fact)
    episodes = {who: [EpisodeRecord(f"e-{who}", "2025-01-10", "2025-07-09", "breast", "P1", True,
                                    target_cents=100_000, expected_cents=90_000)]
                for who in ("a", "b", "c")}  # fmt: skip
    scope = Scope(reader.evidence(PLAN, episodes), CODES, "2025-07-01", "2025-12-31")
    return {(m.metric, m.stratum): (m.hits, m.of, m.value) for _, m in measure(scope)}


@both(80, histories(), st.randoms(use_true_random=False), st.integers(2, 4))
def test_any_order_and_any_partitions_give_the_same_figures(told: list[Told], chance: Any, parts: int) -> None:
    """Coverage and the day closed are said first; what says which version of a record is last keeps its order."""
    told = [*told, {"closed": "2026-06-30"}]
    facts = facts_of(told)
    wanted = figures(facts)
    mixed = list(facts)
    chance.shuffle(mixed)
    assert figures(mixed) == wanted
    assert figures(mixed, parts) == wanted


@both(60, histories())
def test_a_claim_and_its_void_are_as_if_neither_had_come(told: list[Told]) -> None:
    voided = {one["void"] for one in told if "void" in one}
    left = [one for one in told if "void" not in one and one.get("id") not in voided]
    assert figures(facts_of(told)) == figures(facts_of(left))


@both(60, histories())
def test_shares_are_between_nought_and_one_and_people_no_more_than_there_are(told: list[Told]) -> None:
    for hits, of, _ in figures(facts_of(told)).values():
        assert set(hits) <= set(of) <= {"a", "b", "c"}


@both(
    100,
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from((0, 1, 2, 3, 4))), min_size=1, max_size=40),
    st.randoms(),
)
def test_all_causes_together_never_exceed_one_and_no_order_matters(told: list[tuple[int, int]], chance: Any) -> None:
    """Of those not censored all come to some cause: the incidences and who is still waiting make one."""
    levels = [incidence(told, cause).at(60) for cause in (1, 2, 3, 4)]
    assert 0 <= sum(levels) <= 1
    if all(cause for _, cause in told):
        assert sum(levels) == 1
    mixed = list(told)
    chance.shuffle(mixed)
    assert [incidence(mixed, cause).steps for cause in (1, 2)] == [incidence(told, cause).steps for cause in (1, 2)]


@both(200, st.integers(1, 10**8), st.integers(0, 10**8), st.fractions(0, 1), st.fractions(0, 1))
def test_more_quality_never_pays_less(target: int, saving: int, some: Fraction, more: Fraction) -> None:
    low, high = sorted((Decimal(some.numerator) / some.denominator, Decimal(more.numerator) / more.denominator))
    terms = TermSheet(bundled_sheet("employer")[2])
    rates = [terms.on(name, "2025-01-01").number for name in ("savings_share", "minimum_savings_rate", "savings_cap")]
    paid = [shared(Decimal(saving), Decimal(target), *rates, quality).amount for quality in (low, high)]
    assert paid[0] <= paid[1] <= rates[2] * target


@both(60, st.integers(30, 45), st.data())
def test_one_more_return_never_lowers_what_is_released_or_raises_a_refund(people: int, data: st.DataObject) -> None:
    back = data.draw(st.integers(0, people - 1))
    amounts = []
    for returned in (back, back + 1):
        given = plan(people, returned, terms={"settled_by": "T4", "minimum_denominator": "30"})
        amounts.append(sum(d.amount_cents for one in settle(given, 4, "initial").practices for d in one.determinations))
    assert amounts[0] <= amounts[1] <= 0


@both(40, st.permutations(range(8)))
def test_the_order_of_people_moves_no_cent(order: list[int]) -> None:
    given = plan(8, 4, terms={"settled_by": "T3 T5", "quality_weights": "RTW:1", "quality_goals": "RTW:0:1"})
    names = list(given.evidence.members)
    mixed = replace(given.evidence, members={names[at]: given.evidence.members[names[at]] for at in order})
    again = replace(given, evidence=mixed, returns={k: given.returns[k] for k in reversed(list(given.returns))})
    assert [one.determinations for one in settle(given, 4, "initial").practices] == [
        one.determinations for one in settle(again, 4, "initial").practices
    ]


def test_the_sheet_for_tests_is_the_shipped_one() -> None:
    assert sheet().content["terms"] == bundled_sheet("employer")[2]["terms"]
