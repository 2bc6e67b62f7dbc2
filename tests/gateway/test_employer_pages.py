"""Statements and contest packs under a plan render, say every amount, and escape what they are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from carepact.settlement_documents import write_documents
from carepact.telling import tell_settlement
from contracts.determining import Standing
from contracts.employer_payments import contest_pack, statement
from contracts.employer_settlement import PracticeSettlement, settle
from gateway.employer_pages import contest_page, statement_page, waits
from tests.contracts.test_employer_settlement import CHEAP, only, plan


def test_a_statement_says_what_moved_each_clause_and_what_waits() -> None:
    given = plan(
        terms={"settled_by": "T2 T3 T4", "quality_weights": "RTW:1", "quality_goals": "RTW:0:0.65"}, claims=(CHEAP,)
    )
    settlement = settle(given, 4, "initial")
    one = only(settlement)
    one.pending.append(("T4", "minimum_denominator"))
    told = statement(settlement, one, [Standing("p-1", "SHARED_SAVINGS", -100, ())], [])
    page = statement_page(told | {"payer": "employers", "request_id": "<r>", "pack_digest": "d"})
    assert "$105,000.00" in page and "T4: too few people for money to depend on" in page
    assert "&lt;r&gt;" in page and "<r>" not in page
    assert waits("T5:no_target") == "T5: no target is known for its cancers"
    assert "-$1.00" in page


def test_a_contest_pack_says_of_each_claim_what_counts_and_adds_up() -> None:
    given = plan(2, 1, cost=100, claims=(CHEAP,))
    settlement = settle(given, 4, "initial")
    pack = contest_pack(given, settlement, only(settlement))
    assert [e["not_itemised_cents"] + sum(c["counted_cents"] for c in e["claims"]) for e in pack["episodes"]] == [
        10_000
    ] * 2
    page = contest_page(pack)
    assert "1 of 1 lines in the episode" in page and "Away from work 100 days: returned" in page


def test_claims_under_part_2_are_itemised_for_a_practice_by_consent_alone() -> None:
    given = plan(2, 1, cost=100, claims=(CHEAP,))
    settlement = settle(given, 4, "initial")
    one = only(settlement)

    def packed(consented: str) -> Any:
        members = {
            token: replace(member, claims=(), withheld=member.claims, consented=frozenset({consented}))
            for token, member in given.evidence.members.items()
        }
        tagged = replace(given, evidence=replace(given.evidence, members=members))
        return contest_pack(tagged, settlement, one)

    rolled = packed("another")["episodes"]
    assert [(each["claims"], each["not_itemised_cents"]) for each in rolled] == [([], 10_000)] * 2
    assert packed(one.practice) == contest_pack(given, settlement, one)


def test_a_practice_that_no_longer_settles_anything_has_a_statement() -> None:
    given = plan(1, 0)
    settlement = settle(given, 4, "initial")
    told = statement(settlement, PracticeSettlement("P9"), [], [])
    assert "Practice P9" in statement_page(told | {"payer": "e", "request_id": "r", "pack_digest": "d"})


def test_documents_are_named_for_plan_and_practice_and_an_answer_is_told(tmp_path: Path) -> None:
    given = plan(2, 1, cost=100, claims=(CHEAP,), terms={"settled_by": "T5"})
    settlement = settle(given, 4, "initial")
    one = only(settlement)
    told = statement(settlement, one, [], []) | {"payer": "employers", "request_id": "r", "pack_digest": "d"}
    document = {"plan": "palmetto", "practice": "P1", "statement": told, "pack": contest_pack(given, settlement, one)}
    names = [path.name for path in write_documents(tmp_path, "employer", [document])]
    assert names[:2] == ["palmetto.P1.statement.json", "palmetto.P1.statement.html"]
    answered = {
        "plan": "palmetto", "practice": "P1", "episodes": 2, "included": 2, "expenditure_cents": 0, "payments_cents": 0,
        "pending": ["T2:minimum_denominator"], "said": [], "group": None, "pool": None, "benchmark_cents": 16_800_000,
        "actual_cents": 20_000, "illustrative": True,
        "moved": [{"payment_id": "p", "kind": "RISK_CORRIDOR", "amount_cents": 588_000, "reverses": None}],
    }  # fmt: skip
    answer = {"payer": "employers", "period": 4, "run": "initial", "request_id": "r", "cut": {"0": 1}}
    text = "\n".join(tell_settlement({**answer, "settlements": [answered]}))
    assert "practice P1 under palmetto" in text and "RISK_CORRIDOR, payment p" in text
    assert "pending: T2: too few people for money to depend on" in text
