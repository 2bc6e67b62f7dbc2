"""Terms and clauses are in the log: without them, or with others, a partition is refused; new ones are a cause."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from contracts.errors import NoTermInForce
from contracts.events import ContractAdopted, TermsAdopted
from contracts.fold import NotAdopted, OtherBuild
from contracts.roster import bundled_sheet, contract_digest
from contracts.terms import TermSheet
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


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_day_of_initiation_has_its_terms(contract: str) -> None:
    sheet = TermSheet(bundled_sheet(contract)[2])
    day = date(2023, 7, 1)
    while day <= date(2029, 12, 31):
        for name in sheet.content["terms"]:
            value = sheet.on(name, day.isoformat())
            assert value.from_on <= day.isoformat()
            assert value.source
        day += timedelta(days=1)


def test_a_day_without_a_value_is_refused_by_contract_term_and_day() -> None:
    sheet = TermSheet(bundled_sheet(EOM)[2])
    with pytest.raises(NoTermInForce, match="medicare-eom: no 'meos_payment' in force on 2023-06-30"):
        sheet.on("meos_payment", "2023-06-30")


def test_rates_change_on_the_day_they_say() -> None:
    sheet = TermSheet(bundled_sheet(EOM)[2])
    rates = {day: str(sheet.on("meos_payment", day).number) for day in ("2023-07-01", "2024-12-31", "2025-01-01")}
    assert rates == {"2023-07-01": "70.00", "2024-12-31": "70.00", "2025-01-01": "110.00"}
