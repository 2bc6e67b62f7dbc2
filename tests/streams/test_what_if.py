"""What if: the same history under other terms gives what a fresh run under those terms gives, to the cent."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import orjson
import pytest

from contracts.drafts import Change, frozen
from contracts.employer_evidence import EmployerGatherer
from contracts.employer_settlement import settle
from contracts.envelope import Fact
from contracts.events import DayClosed, RiskArrangementSet, TermsAdopted
from contracts.roster import bundled_sheet
from contracts.terms import digest_of
from projections.rows import PAYMENT, Rows
from streams.replay import PartitionReplay
from streams.roster import Payer, Roster
from streams.what_if import NONE, SETTLED, CannotFold, Imagining, Options, WhatIf
from tests.streams.logs import Log, Record, claim, population

MEDICARE, EMPLOYERS = Roster.load().payer("medicare"), Roster.load().payer("employers")
CONTENT = bundled_sheet("medicare-eom")[2]
BEFORE, AFTER = (frozen(CONTENT, day) for day in ("2024-12-31", "2025-01-01"))


class Fresh(PartitionReplay):
    """The platform's own fold, with its payments summed by practice."""

    def __init__(self, partition: int, cents: dict[str, int]) -> None:
        super().__init__(MEDICARE, partition)
        self._cents = cents

    def take(self, rows: Rows) -> None:
        super().take(rows)
        for row in rows.payments:
            self._cents[row[PAYMENT.index("practice")]] += row[PAYMENT.index("amount_cents")]


def fresh(records: dict[int, list[Record]]) -> dict[str, int]:
    """What a run of these records pays each practice."""
    cents: dict[str, int] = defaultdict(int)
    for partition, own in records.items():
        replay = Fresh(partition, cents)
        asyncio.run(replay.feed(own))
        assert replay.stopped is None
    return dict(cents)


def adopting(log: Log, content: dict[str, Any], arrangement: str = "") -> dict[int, list[Record]]:
    """The log's records as if this sheet, and arrangement, had been stated in it."""

    def other(record: Record) -> Record:
        event = orjson.loads(record.value) if b"Adopted.v1" in record.value or b"Arrangement" in record.value else {}
        if event.get("type") == TermsAdopted.type_name():
            event["data"] |= {"content": content, "digest": digest_of(content), "sheet_version": "draft"}
        elif event.get("type") == RiskArrangementSet.type_name() and arrangement:
            event["data"]["arrangement"] = arrangement
        else:
            return record
        return Record(record.offset, record.timestamp, record.key, orjson.dumps(event))

    return {partition: [other(record) for record in own] for partition, own in log.records.items()}


def asked(log: Log, before: Change, after: Change, options: Options | None = None, payer: Payer = MEDICARE) -> WhatIf:
    imagining = Imagining(payer, before, after, options or Options())
    for partition, records in log.records.items():
        asyncio.run(imagining.partition(partition, [records[:50], records[50:]]))
    return imagining.result()


@pytest.mark.parametrize("options", [Options(), Options(period=2)])
def test_slices_of_members_come_to_the_same(log: Log, options: Options) -> None:
    change = Change(sheet=AFTER, arrangement="RA2")
    imagining = Imagining(MEDICARE, NONE, change, options)
    for partition, records in log.records.items():
        asyncio.run(imagining.partition(partition, [records], slices=5))
    assert imagining.result().as_json() == asked(log, NONE, change, options).as_json()


def by_practice(answer: WhatIf, which: str) -> dict[str, int]:
    return {row["name"]: row[which] for row in answer.summed(lambda row: row.practice)}


@pytest.fixture(scope="module")
def log() -> Log:
    made = population(Log(), 14, 22)
    for practice, arrangement in (("P1", "RA1"), ("P2", "RA2"), ("P3", "RA1")):
        made.broadcast(RiskArrangementSet(practice=practice, arrangement=arrangement, from_period=1))
    made.broadcast(DayClosed(through_on=date(2026, 6, 30)))
    return made


def test_the_terms_before_and_after_2025_pay_what_a_fresh_run_under_them_pays(log: Log) -> None:
    answer = asked(log, Change(sheet=BEFORE), Change(sheet=AFTER))
    assert by_practice(answer, "before_cents") == fresh(adopting(log, BEFORE))
    assert by_practice(answer, "after_cents") == fresh(adopting(log, AFTER))
    assert answer.before_cents < answer.after_cents or answer.before_cents > answer.after_cents
    differences = sum(row.difference_cents for row in answer.rows)
    assert differences == answer.after_cents - answer.before_cents
    told = answer.as_json()
    for key in ("practices", "clauses", "rows"):
        assert sum(row["difference_cents"] for row in told[key]) == told["difference_cents"]


def test_as_it_is_is_what_was_paid(log: Log) -> None:
    answer = asked(log, NONE, Change(sheet=AFTER))
    assert by_practice(answer, "before_cents") == fresh(log.records)
    assert asked(log, NONE, NONE).as_json()["rows"] == []


def test_a_history_of_eom_is_told_under_ocm_side_by_side(log: Log) -> None:
    """A month pays 160 instead of 70 or 110, without an addition; no sub-type is left out; RA1 has no downside."""
    under = bundled_sheet("ocm/eom-years")[2]
    told = asked(log, NONE, Change(sheet=under), Options(period=2))
    assert by_practice(told, "before_cents") == by_practice(asked(log, NONE, NONE, Options(period=2)), "before_cents")
    clauses = {row["name"]: row for row in told.summed(lambda row: row.clause)}
    assert clauses["MEOS"]["before_cents"] % 7_000 == 0 != clauses["MEOS"]["before_cents"]
    assert clauses["MEOS"]["after_cents"] % 16_000 == 0 != clauses["MEOS"]["after_cents"]
    assert clauses.get("MEOS.dual", {"after_cents": 0})["after_cents"] == 0
    assert asked(log, Change(sheet=under), Change(sheet=under)).as_json()["rows"] == []


def test_a_history_of_one_payer_is_not_told_under_a_plans_contract(log: Log) -> None:
    with pytest.raises(CannotFold, match="cannot be told under employer"):
        asked(log, NONE, Change(sheet=bundled_sheet("employer")[2]))


def test_another_arrangement_settles_as_if_it_had_been_set(log: Log) -> None:
    options = Options(period=2)
    answer = asked(log, Change(arrangement="RA1"), Change(arrangement="RA2"), options)
    for arrangement, which in (("RA1", "before_cents"), ("RA2", "after_cents")):
        other = Log()
        other.records = adopting(log, CONTENT, arrangement)
        own = asked(other, NONE, NONE, options)
        assert by_practice(answer, which) == by_practice(own, "before_cents")
    assert all(row.clause == SETTLED or row.difference_cents == 0 for row in answer.rows)
    assert sum(row.difference_cents for row in answer.rows) == answer.after_cents - answer.before_cents


def test_a_draft_of_a_plans_terms_settles_as_if_it_had_been_adopted() -> None:
    log, mine = Log("employers", "employer", plan=EMPLOYERS.plans[0].name), EMPLOYERS.plans[0].name
    population(log, 8, 20)
    log.broadcast(DayClosed(through_on=date(2025, 12, 31)))
    content = bundled_sheet("employer")[2]
    half = {"savings_share": content["terms"]["savings_share"] | {"values": [{"from": "2000-01-01", "value": "0.25"}]}}
    draft = content | {"terms": content["terms"] | half}
    options = Options(period=2, plan=mine)
    answer = asked(log, NONE, Change(sheet=draft, plan=None), options, EMPLOYERS)
    for under, which in ((content, "before_cents"), (draft, "after_cents")):
        other = Log("employers", "employer", plan=mine)
        other.records = adopting(log, under)
        gatherer = EmployerGatherer("employers")
        for partition, own in other.records.items():
            gatherer.partition(partition)
            for fact in PartitionReplay(EMPLOYERS, partition).sift(own)[0]:
                gatherer.take(fact)
            gatherer.close()
        settled = settle(gatherer.plan(mine), 2, "initial").practices
        owed = {one.practice: sum(made.amount_cents for made in one.determinations) for one in settled}
        told = {row.practice: getattr(row, which) for row in answer.rows if row.clause == "SHARED_SAVINGS"}
        assert told == {practice: cents for practice, cents in owed.items() if practice in told}
        assert sum(told.values()) == sum(owed.values()) != 0
    clauses = {row["name"]: row for row in answer.as_json()["clauses"]}
    assert clauses["SHARED_SAVINGS"]["difference_cents"] == answer.after_cents - answer.before_cents != 0
    nobody = asked(log, NONE, Change(sheet=draft, plan=None), Options(period=2, plan="another"), EMPLOYERS)
    assert nobody.rows == []


def test_a_fact_that_never_came_and_one_that_came_in_time(log: Log) -> None:
    first = next(orjson.loads(r.value) for r in log.records[0] if r.key and b"M0010" in r.value)
    answer = asked(log, NONE, Change(without=frozenset({first["id"]})))
    left = {p: [r for r in own if first["id"].encode() not in r.value] for p, own in log.records.items()}
    assert by_practice(answer, "after_cents") == fresh(left)


def test_a_late_claim_is_folded_before_the_day_it_missed() -> None:
    log = Log(partitions=1)
    log.open()
    early = log.tell("m1", claim(date(2024, 3, 1), claim_id="a", family="a"))
    log.broadcast(DayClosed(through_on=date(2024, 6, 30)))
    late = log.tell("m1", claim(date(2024, 2, 1), claim_id="b", family="b"))
    facts = PartitionReplay(MEDICARE, 0).sift(log.records[0])[0]
    name = orjson.loads(late.value)["id"]
    order = [fact.offset for fact in Change(in_time=frozenset({name})).apply(facts) if fact.offset >= early.offset]
    assert order == [early.offset, late.offset, early.offset + 1]
    unmoved: Sequence[Fact] = Change(in_time=frozenset({"no such id"})).apply(facts)
    assert unmoved == facts


def test_each_claim_come_in_time_pays_what_a_log_that_has_it_there_pays(log: Log) -> None:
    moved = 0
    for partition, own in log.records.items():
        events = [orjson.loads(record.value) if record.value[:2] == b'{"' else {} for record in own]
        closings = [
            (n, one["data"]["through_on"]) for n, one in enumerate(events) if "DayClosed" in one.get("type", "")
        ]
        for place, event in enumerate(events):
            if "ClaimReceived" not in event.get("type", "") or moved >= 4:
                continue
            day = event["data"].get("through_on") or event["data"]["filled_on"]
            first = next((n for n, through in closings if through >= day), place)
            if first >= place or any(one.get("id") == event["id"] for one in events[:place]):
                continue
            order = [*own[:first], own[place], *own[first:place], *own[place + 1 :]]
            there = [replace(record, offset=n) for n, record in enumerate(order)]
            answer = asked(log, NONE, Change(in_time=frozenset({event["id"]})))
            assert by_practice(answer, "after_cents") == fresh(log.records | {partition: there})
            assert sum(row.difference_cents for row in answer.rows) == answer.after_cents - answer.before_cents
            moved += 1
    assert moved == 4


def test_terms_that_cannot_be_folded_are_refused_by_place(log: Log) -> None:
    broken = {**CONTENT, "terms": {name: t for name, t in CONTENT["terms"].items() if name != "meos_payment"}}
    with pytest.raises(CannotFold, match="offset"):
        asked(log, NONE, Change(sheet=broken | {"value_sets": {}}))
