"""A practice's statement and contest pack are pages that say every figure, and escape what they are given."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from carepact.generate import write
from carepact.settlement_documents import write_documents
from contracts.authorizations import GIVEN, REVOKED
from contracts.envelope import Fact
from contracts.events import DayClosed
from contracts.feedback import shown
from contracts.statement import contest_pack, statement
from gateway.settlement_pages import contest_page
from tests.oracle.gathered import Recorded, gathered


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> list[Fact]:
    """Of a small population without any benchmark."""
    out = tmp_path_factory.mktemp("population")
    write(out, 60, seed=3, payers=("medicare",))
    reader = Recorded("medicare")
    reader.publish(out / "practices.ndjson")
    reader.publish(out / "medicare.ndjson")
    return reader.facts


@pytest.fixture(scope="module")
def pages(facts: list[Fact], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documents of the practice with most episodes."""
    out = tmp_path_factory.mktemp("documents")
    found = gathered("medicare", facts)
    settlement = found.settled(2)
    practice, group = max(settlement.practices, key=lambda one: len(one[0].priced))
    told = statement(found.sheet, found.gatherer.adoption, settlement, practice, group, [], [])
    told |= {"payer": "medicare", "request_id": "<r>", "pack_digest": "d"}
    told |= shown(settlement.period, practice, found.gatherer.practices)
    for each, _ in settlement.practices:  # also one that has nothing but episodes that do not count
        assert contest_page(contest_pack(settlement, each, "medicare", "log"))
    pack = contest_pack(settlement, practice, "medicare", "log")
    document = {"plan": "", "practice": practice.name, "statement": told, "pack": pack}
    names = write_documents(out / "to", "medicare-eom", [document])
    assert sorted(path.suffix for path in names) == [".html"] * 3 + [".json"] * 3
    return out / "to"


def test_a_statement_says_what_is_lacking_and_what_comes_back(pages: Path) -> None:
    page = next(pages.glob("*.statement.html")).read_text()
    assert "no baseline price is known for an episode" in page
    assert "Comes back in all" in page
    assert "&lt;r&gt;" in page and "<r>" not in page


def test_a_contest_pack_lists_each_claim_in_or_out_and_the_visits_of_each_practice(pages: Path) -> None:
    page = next(pages.glob("*.contest.html")).read_text()
    assert "first visit at" in page
    assert ("is within" in page and "voided or replaced" in page) or "is after the episode ended" in page


def test_claims_under_part_2_count_and_are_in_no_practices_pack(facts: list[Fact]) -> None:
    """A tagged version takes the claim's others along; one that opened the episode is named by its kind alone."""

    def packed(facts: list[Fact]) -> dict[str, Any]:
        settlement = gathered("medicare", facts).settled(2)
        practice, _ = max(settlement.practices, key=lambda one: len(one[0].priced))
        return contest_pack(settlement, practice, "medicare", "log")

    closed = DayClosed(through_on=date(2026, 6, 30))
    facts = [*facts, replace(facts[-1], type=DayClosed.type_name(), member="", data=closed, event_id="closed")]
    plain = packed(facts)["episodes"]
    before = next(one for one in plain if len(one["claims"]) > 5)
    opened = before["opened_by"]["position"]["offset"]
    (family,) = {claim["family"] for claim in before["claims"] if claim["position"]["offset"] == opened}
    hidden = [claim for claim in before["claims"] if claim["family"] == family]
    tagged = [replace(fact, sensitivity="part2") if fact.offset == opened else fact for fact in facts]
    pack = packed(tagged)
    (after,) = [one for one in pack["episodes"] if one["episode_id"] == before["episode_id"]]
    assert after["claims"] == [claim for claim in before["claims"] if claim["family"] != family]
    assert after["not_itemised_cents"] == sum(claim["amount_cents"] for claim in hidden) > 0
    assert after["opened_by"] == before["opened_by"] | {"event_id": None, "position": None}
    assert all(after[name] == before[name] for name in ("expenditure_cents", "components_cents", "counted_cents"))
    assert [one for one in plain if one["episode_id"] != before["episode_id"] and "not_itemised_cents" in one] == []
    written = json.dumps(after)
    assert not [claim["claim_id"] for claim in hidden if claim["claim_id"] in written]
    assert "Not itemised" in contest_page(pack)

    def given(scope: str, recipient: str) -> Fact:
        told = {"authorization_id": "a", "scope": scope, "recipient": recipient, "signed_on": date(2023, 1, 1)}
        data = SimpleNamespace(**told, expires_on=date(2099, 1, 1))
        return replace(tagged[-1], type=GIVEN, member=before["member"], data=data, sensitivity="", event_id=scope)

    consent = given("part2", pack["practice"])
    assert packed([*tagged, consent])["episodes"] == plain
    revoked = replace(consent, type=REVOKED)
    for some in ([consent, revoked], [given("part2", "another")], [given("return_to_work", pack["practice"])]):
        assert packed([*tagged, *some]) == pack


def test_feedback_adds_up_and_tells_use_groups_and_the_attribution_list(pages: Path) -> None:
    report = json.loads(next(pages.glob("*.feedback.json")).read_text())
    spending, settled = report["spending"], report["episodes"]["settled"]
    assert sum(one["expenditure_cents"] for one in spending["by_cancer"]) == spending["expenditure_cents"] > 0
    assert sum(one["episodes"] for one in spending["by_cancer"]) == settled == report["utilisation"]["episodes"]
    for groups in report["quality"]["by"].values():
        assert sum(one["episodes"] for one in groups.values()) == settled
    whole = {one["measure"]: [one["numerator"], one["denominator"]] for one in report["quality"]["measures"]}
    for groups in report["quality"]["by"].values():
        for measure in ("EOM-1a", "EOM-1b", "EOM-2", "EOM-3"):
            sums = [sum(one["measures"][measure][n] for one in groups.values()) for n in (0, 1)]
            assert sums == whole[measure]
    listed = [one for one in report["attribution"] if one["why_not"] is None]
    assert len(listed) == settled
    assert sum(one["expenditure_cents"] for one in listed) == spending["expenditure_cents"]
    assert report["utilisation"]["used"]["physician_claims"] > 0
    assert {claim["in"] for claim in report["claims"]} == {True, False}
    page = next(pages.glob("*.feedback.html")).read_text()
    assert "By dual status" in page and "Attribution list" in page and "&lt;r&gt;" in page
