"""Terms and clauses are in the log: without them, or with others, a partition is refused; new ones are a cause."""

from __future__ import annotations

import pytest

from contracts.errors import NoTermInForce
from contracts.events import ContractAdopted, TermsAdopted
from contracts.fold import NotAdopted, OtherBuild
from contracts.parts import Episode
from contracts.roster import bundled_sheet, contract_digest
from contracts.terms import TermSheet
from contracts.trial import find
from projections.packing import unpack
from tests.contracts.given import Data, Folded, Log, Standing, terms
from tests.contracts.stored import StoredFold

EOM = "medicare-eom"
PAID: list[Data] = [{"drug": "2025-01-10"}, {"visit": "2025-01-12"}, {"meos": "2025-02-01"}, {"meos": "2025-03-01"}]
CONTRACTS = (EOM, "bcbs-sc", "employer")


@pytest.mark.parametrize("contract", CONTRACTS)
def test_without_terms_a_member_fact_is_refused(contract: str) -> None:
    log = Log(contract)
    log.say(ContractAdopted, {"contract": contract, "digest": contract_digest(contract), "build": "test"})
    log.told([{"visit": "2025-01-12"}])
    with pytest.raises(NotAdopted, match=f"no terms of {contract} are adopted; run 'carepact up'"):
        Folded(contract, log.facts)


def test_without_clauses_a_member_fact_is_refused() -> None:
    log = Log(EOM)
    log.say(TermsAdopted, terms(EOM))
    log.told([{"visit": "2025-01-12"}])
    with pytest.raises(NotAdopted, match="no build of medicare-eom is adopted"):
        Folded(EOM, log.facts)


def test_terms_and_clauses_of_other_contracts_are_not_ours() -> None:
    log = Log(EOM)
    log.say(TermsAdopted, terms("bcbs-sc"))
    log.say(ContractAdopted, {"contract": "bcbs-sc", "digest": "0" * 64, "build": "test"})
    log.told([{"visit": "2025-01-12"}])
    with pytest.raises(NotAdopted, match="no terms"):
        Folded(EOM, log.facts)


def test_clauses_of_another_build_refuse_the_partition() -> None:
    log = Log(EOM).opened()
    log.say(ContractAdopted, {"contract": EOM, "digest": "f" * 64, "build": "9.9"})
    folded = Folded(EOM, log.facts)
    with pytest.raises(OtherBuild, match=r"adopted medicare-eom build 9\.9 \(ffffffffffff\)"):
        folded.take(log.told([{"visit": "2025-01-12"}]).facts[-1])


def test_terms_that_are_not_of_the_digest_they_name_are_refused() -> None:
    log = Log(EOM)
    log.say(TermsAdopted, terms(EOM) | {"digest": "0" * 64})
    with pytest.raises(OtherBuild, match="do not have the digest they name"):
        Folded(EOM, log.facts)


def test_terms_that_ask_for_more_than_the_fold_loads_are_refused() -> None:
    for changed in ({"episode_months": 7}, {"part_d_lookback_days": 60}):
        log = Log(EOM).opened().enrolled().told([{"terms": "2026.2", **changed}, {"visit": "2025-01-12"}])
        with pytest.raises(OtherBuild, match=next(iter(changed))):
            Folded(EOM, log.facts)


@pytest.mark.parametrize("folding", [Folded, StoredFold])
def test_a_second_adoption_reverses_and_determines_anew(folding: type[Folded] | type[StoredFold]) -> None:
    log = Log(EOM).opened().enrolled().told([*PAID, {"terms": "2026.2", "meos_payment": "120.00"}])
    adopted = log.facts[-1].fact_id
    last = folding(EOM, log.facts).outcomes[-1]
    moves = [(p.period, p.amount_cents, p.event["cause_kind"], p.cause) for p in last.payments]
    assert moves == [
        ("2025-02", -11000, "terms_adopted", adopted),
        ("2025-03", -11000, "terms_adopted", adopted),
        ("2025-02", 12000, "terms_adopted", adopted),
        ("2025-03", 12000, "terms_adopted", adopted),
    ]
    assert [p.supersedes != "" for p in last.payments] == [False, False, True, True]
    assert {p.event["contract_version"] for p in last.payments} == {"2026.2"}
    assert last.spends == []  # the counted base has its own term


def test_adopting_the_same_terms_again_does_nothing() -> None:
    log = Log(EOM).opened().enrolled().told([*PAID, {"terms": "2026.1"}])
    assert Folded(EOM, log.facts).outcomes[-1].payments == []


def episode_of(folded: Folded | StoredFold) -> Episode:
    """The one episode, from memory or as it is stored."""
    if isinstance(folded, Folded):
        return folded.members["m1"].episodes["2025-01-10"]
    return unpack(Episode, folded.parts["m1"]["episode", "2025-01-10"])


NO_RATE: Data = {"terms": "2026.2", "meos_payment": {"2025-06-01": "110.00"}}
WHOLE: Data = {"terms": ""}


@pytest.mark.parametrize("folding", [Folded, StoredFold])
def test_a_month_without_its_rate_waits_with_the_reason_and_is_made_when_the_term_arrives(
    folding: type[Folded] | type[StoredFold],
) -> None:
    log = Log(EOM).opened().enrolled().told([NO_RATE, *PAID])
    waiting = folding(EOM, log.facts)
    assert Standing.of(waiting.outcomes).net() == {}
    reason = "medicare-eom: no 'meos_payment' in force on 2025-01-10"
    assert episode_of(waiting).waits == {"MEOS|2025-02": reason, "MEOS|2025-03": reason}
    adopted = log.told([WHOLE]).facts[-1]
    made = folding(EOM, log.facts)
    moves = [(p.period, p.amount_cents, p.event["cause_kind"], p.cause) for p in made.outcomes[-1].payments]
    assert moves == [(f"2025-0{n}", 11_000, "terms_adopted", adopted.fact_id) for n in (2, 3)]
    assert episode_of(made).waits == {}


def test_what_stands_stays_while_its_term_is_away_and_an_episode_that_is_void_pays_nothing_all_the_same() -> None:
    log = Log(EOM).opened().enrolled().told([*PAID, NO_RATE, {"meos": "2025-04-01"}])
    folded = Folded(EOM, log.facts)
    assert sorted(p.period for p in Standing.of(folded.outcomes).in_force.values()) == ["2025-02", "2025-03"]
    assert list(episode_of(folded).waits) == ["MEOS|2025-04"]
    log.told([{"uncovered": "part_b", "from": "2025-03-01"}])
    gone = Folded(EOM, log.facts)
    assert Standing.of(gone.outcomes).net() == {}
    assert episode_of(gone).waits == {}


@pytest.mark.parametrize("contract", ["bcbs-sc", "employer"])
def test_of_care_fees_only_the_months_without_a_rate_wait(contract: str) -> None:
    gap: Data = {"terms": "2026.2", "care_fee": {"2025-03-01": "90.00"}}
    log = Log(contract).opened().enrolled().told([gap, *PAID[:2], {"closed": "2025-04-01"}])
    folded = Folded(contract, log.facts)
    assert [p.period for p in Standing.of(folded.outcomes).in_force.values()] == ["2025-03", "2025-04"]
    assert episode_of(folded).waits == {"CARE_FEE|2025-02": f"{contract}: no 'care_fee' in force on 2025-02-01"}
    log.told([WHOLE])
    after = Standing.of(Folded(contract, log.facts).outcomes)
    assert sorted(p.period for p in after.in_force.values()) == ["2025-02", "2025-03", "2025-04"]


@pytest.mark.parametrize("folding", [Folded, StoredFold])
def test_a_cost_without_the_term_that_says_what_counts_stays_as_it_stood(
    folding: type[Folded] | type[StoredFold],
) -> None:
    gap: Data = {"terms": "2026.2", "sequestration": {"2025-06-01": "0.02"}}
    log = Log(EOM).opened().enrolled().told([*PAID[:2], gap, {"drug": "2025-02-10"}])
    folded = folding(EOM, log.facts)
    assert Standing.of(folded.outcomes).live[0]["included"]
    episode = episode_of(folded)
    assert episode.waits == {"EXPENDITURE": "medicare-eom: no 'sequestration' in force on 2025-01-10"}
    assert episode.expenditure_cents == 20_408  # (100 + 100) / 0.98
    log.told([WHOLE])
    episode = episode_of(folding(EOM, log.facts))
    assert (episode.expenditure_cents, episode.waits) == (30_612, {})  # 300 / 0.98


def test_a_clause_that_is_tried_on_a_day_without_its_rate_is_refused_by_contract_term_and_day() -> None:
    content = terms(EOM, "2026.2", {"meos_payment": {"2025-06-01": "110.00"}})["content"]
    given = {"initiated_on": "2025-01-10", "months": 2, "dual_eligible": False}
    trial = find(EOM, "meos")
    with pytest.raises(NoTermInForce, match="medicare-eom: no 'meos_payment' in force on 2025-01-10"):
        trial.run(TermSheet(content), trial.given.model_validate(given))


def test_new_terms_that_end_the_model_earlier_void_what_began_after() -> None:
    log = Log(EOM).opened().enrolled().told([*PAID, {"terms": "2026.2", "initiation_last_on": "2025-01-09"}])
    standing = Standing.of(Folded(EOM, log.facts).outcomes)
    assert [(e["status"], e["void_reason"]) for e in standing.live] == [("void", "after_model")]
    assert standing.net() == {}


def test_new_terms_that_shorten_episodes_end_them_earlier_and_open_the_next() -> None:
    told: list[Data] = [*PAID, {"drug": "2025-06-20"}, {"terms": "2026.2", "episode_months": 5}]
    log = Log(EOM).opened().enrolled().told(told)
    for folding in (Folded, StoredFold):
        standing = Standing.of(folding(EOM, log.facts).outcomes)
        assert [(e["started_on"], e["ends_on"]) for e in standing.live] == [
            ("2025-01-10", "2025-06-09"),
            ("2025-06-20", "2025-11-19"),
        ]
        assert sum(standing.net().values()) == 2 * 11000


def test_a_plan_with_a_sheet_of_its_own_leaves_the_others_alone() -> None:
    log = Log("employer").opened()
    for member, plan in (("m1", "palmetto"), ("m2", "lowcountry")):
        log.enrolled(member, plan).told([{"drug": "2025-01-10"}, {"visit": "2025-01-12"}], member, plan)
    log.told([{"closed": "2025-02-01"}, {"terms": "2026.2", "plan": "palmetto", "care_fee": "90.00"}])
    standing = Standing.of(Folded("employer", log.facts).outcomes)
    assert sorted((p.plan, p.amount_cents) for p in standing.in_force.values()) == [
        ("lowcountry", 9500),
        ("palmetto", 9000),
    ]


def test_a_day_without_a_value_is_refused_by_contract_term_and_day() -> None:
    sheet = TermSheet(bundled_sheet(EOM)[2])
    with pytest.raises(NoTermInForce, match="medicare-eom: no 'meos_payment' in force on 2023-06-30"):
        sheet.on("meos_payment", "2023-06-30")


def test_rates_change_on_the_day_they_say() -> None:
    sheet = TermSheet(bundled_sheet(EOM)[2])
    rates = {day: str(sheet.on("meos_payment", day).number) for day in ("2023-07-01", "2024-12-31", "2025-01-01")}
    assert rates == {"2023-07-01": "70.00", "2024-12-31": "70.00", "2025-01-01": "110.00"}
