"""835 and 820: what was paid, by whom, for what; balanced or refused."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from contracts.events import ClaimRemitted, PaymentRemitted, PaymentReturned, PremiumPaid, RemittanceReceived
from formats import x12
from formats.reading import Read, ReadFact, Reject
from formats.x12_claim import submission_of
from tests.formats.x12_samples import PREMIUMS, REMITTANCE, made

PAYMENT = "1862ae81-e291-5926-bf42-9b00d605f00d"


def read(kind: str, segments: list[str]) -> list[Read]:
    return list(x12.read([made(kind, segments)], "f"))


def facts(kind: str, segments: list[str]) -> list[Any]:
    items = read(kind, segments)
    assert [i for i in items if isinstance(i, Reject)] == []
    return [i.event for i in items if isinstance(i, ReadFact)]


def changed(segments: list[str], old: str, new: str) -> list[str]:
    made_ = [s.replace(old, new) for s in segments]
    assert made_ != segments
    return made_


def test_a_claim_payment_with_its_adjustments() -> None:
    first, reversal, correction, whole = facts("835", REMITTANCE)
    assert isinstance(first, ClaimRemitted)
    assert (first.family, first.submission) == ("ICN1", submission_of("1234567893", "ACCOUNT1"))
    assert (first.charge_cents, first.paid_cents, first.member_owes_cents) == (80_000, 45_000, 30_000)
    assert (first.remitted_on, first.trace, first.payee) == (date(2024, 3, 16), "7170066655", "587654321")
    assert (first.from_on, first.through_on, first.rendering_npi) == (date(2024, 3, 1), date(2024, 3, 4), "1122333341")
    assert [(a.group, a.reason, a.amount_cents) for a in first.adjustments] == [("CO", "A2", 5_000)]
    (line,) = first.lines
    assert (line.code, line.service_on, line.charge_cents, line.paid_cents) == (
        "J9271",
        date(2024, 3, 1),
        80_000,
        50_000,
    )
    assert [(a.group, a.reason, a.amount_cents) for a in line.adjustments] == [("PR", "1", 30_000)]
    assert (reversal.reversal, reversal.paid_cents, reversal.status) == (True, -8_000, "22")
    assert (correction.reversal, correction.paid_cents, correction.family) == (False, 57_500, reversal.family)
    assert [a.reason for a in correction.lines[0].adjustments] == ["45", "A1"]
    assert isinstance(whole, RemittanceReceived)
    assert (whole.amount_cents, whole.items, whole.items_cents) == (94_500, 3, 94_500)
    assert [(a.reason, a.amount_cents, a.year_end) for a in whole.adjustments] == [
        ("WO", 5_000, date(2024, 12, 31)),
        ("L6", -5_000, date(2024, 12, 31)),
    ]
    assert "ACCOUNT9" not in whole.model_dump_json()


def test_rows_are_claim_payments_and_each_is_named_by_its_content() -> None:
    items = [i for i in read("835", REMITTANCE) if isinstance(i, ReadFact)]
    assert [i.rows for i in items] == [1, 1, 1, 0]
    assert len({i.natural_key for i in items}) == 4
    assert {i.keyed for i in items} == {("submission",), ()}


def test_a_claim_without_the_payers_number_is_named_by_its_submission() -> None:
    items = read("835", changed(REMITTANCE, "*ICN1*", "**"))
    assert isinstance(items[0], ReadFact)
    assert isinstance(items[0].event, ClaimRemitted)
    assert items[0].event.family == items[0].event.submission
    assert items[0].keyed == ("submission", "family")


def test_a_claim_payment_that_names_a_payment_of_ours_is_that_payments() -> None:
    paid = changed(changed(REMITTANCE, "CLP*ACCOUNT1*", f"CLP*{PAYMENT}*"), "CLP*ACCOUNT2*22*", f"CLP*{PAYMENT}*22*")
    remitted, returned, *_ = facts("835", changed(paid, "WO:ACCOUNT9", f"WO:{PAYMENT}"))
    assert isinstance(remitted, PaymentRemitted)
    assert (remitted.payment_id, remitted.amount_cents, remitted.source) == (PAYMENT, 45_000, "835")
    assert isinstance(returned, PaymentReturned)
    assert (returned.payment_id, returned.amount_cents) == (PAYMENT, 8_000)
    assert facts("835", changed(paid, "WO:ACCOUNT9", f"WO:{PAYMENT}"))[3].adjustments[0].payment_id == PAYMENT


@pytest.mark.parametrize(
    ("old", "new", "code", "field", "line"),
    [
        ("*945.00*", "*945.01*", "unbalanced", "BPR02", 4),
        ("*50.00*L6", "*50.01*L6", "unbalanced", "BPR02", 4),
        ("*800*450*", "*800*45O*", "not_money", "CLP04", 14),
        ("WO:ACCOUNT9*50.00", "WO:ACCOUNT9*", "not_money", "PLB04", 34),
        ("20241231*WO:ACCOUNT9", "20241231*:ACCOUNT9", "schema", "PLB03", 34),
        ("TRN*1*", "REF*1*", "schema", "TRN", 4),
    ],
)
def test_a_remittance_that_does_not_add_up_is_refused_whole(
    old: str, new: str, code: str, field: str, line: int
) -> None:
    (reject,) = read("835", changed(REMITTANCE, old, new))
    assert isinstance(reject, Reject)
    assert (reject.code, reject.place.field, reject.place.line, reject.rows) == (code, field, line, 3)
    assert "ACCOUNT" not in f"{reject}"


def test_a_wrong_claim_payment_hides_no_other() -> None:
    items = read("835", changed(REMITTANCE, "****MI*1EG4TE5MK73", "****34*123456789")[:13] + REMITTANCE[13:])
    (reject,) = [i for i in items if isinstance(i, Reject)]
    assert (reject.code, reject.place.field, reject.rows) == ("no_member_identifier", "NM109", 1)
    assert len(items) == 4


def test_a_service_that_does_not_balance_is_left_out_and_told() -> None:
    items = read("835", changed(REMITTANCE, "SVC*HC:99215*800*575", "SVC*HC*99215*800*575"))
    corrected = items[2]
    assert isinstance(corrected, ReadFact)
    assert isinstance(corrected.event, ClaimRemitted)
    assert (corrected.event.lines, corrected.event.paid_cents) == ((), 57_500)
    assert corrected.findings == ("SVC03:balance",)
    items = read("835", changed(REMITTANCE, "CAS*CO*A2*50", "CAS*CO*A2*40"))
    assert [i.findings for i in items if isinstance(i, ReadFact)] == [("CLP04:balance",), (), (), ()]


def test_without_a_day_of_payment_the_day_of_the_remittance_is_taken_and_told() -> None:
    items = [i for i in read("835", changed(REMITTANCE, "*20240316", "*20002316")) if isinstance(i, ReadFact)]
    assert {i.findings for i in items} == {("BPR16:8",)}
    assert isinstance(items[0].event, ClaimRemitted)
    assert items[0].event.remitted_on == date(2024, 3, 14)
    without = changed(changed(REMITTANCE, "*20240316", ""), "DTM*405", "DTM*999")
    (reject,) = read("835", without)
    assert isinstance(reject, Reject)
    assert (reject.code, reject.place.field) == ("no_date", "BPR16")


def test_a_remittance_of_adjustments_alone_is_one_row() -> None:
    only = [*changed(REMITTANCE[:9], "*945.00*", "*50*"), "PLB*1234567893*20241231*BN:X*-50"]
    (item,) = read("835", only)
    assert isinstance(item, ReadFact)
    assert isinstance(item.event, RemittanceReceived)
    assert (item.rows, item.event.amount_cents, item.event.items) == (1, 5_000, 0)


def test_premiums_of_a_group_and_of_a_person() -> None:
    paid, whole = facts("820", PREMIUMS)
    assert isinstance(paid, PremiumPaid)
    assert paid.person is not None
    assert (paid.person.identifier.kind, paid.person.identifier.value) == ("member_id", "M1")
    assert (paid.paid_cents, paid.billed_cents, paid.trace) == (30_000, 30_000, "PREM1")
    assert (paid.from_on, paid.through_on, paid.remitted_on) == (date(2024, 4, 1), date(2024, 4, 30), date(2024, 4, 2))
    assert isinstance(whole, RemittanceReceived)
    assert (whole.kind, whole.amount_cents, whole.items, whole.items_cents) == ("premiums", 125_000, 2, 130_000)
    (group,) = whole.premiums
    assert (group.paid_cents, group.billed_cents, group.members) == (100_000, 110_000, 12)
    assert [i.rows for i in read("820", PREMIUMS)] == [1, 1]


@pytest.mark.parametrize(
    ("old", "new", "code", "field", "rows"),
    [
        ("*1250.00*", "*1250.01*", "unbalanced", "BPR02", 2),
        ("**300.00*300.00", "**x*300.00", "not_money", "RMR04", 2),
        ("IL*1*CANARY*ZEBRA****N*M1", "IL*1*CANARY*ZEBRA", "no_member_identifier", "NM109", 1),
    ],
)
def test_a_premium_that_cannot_be_read_is_refused(old: str, new: str, code: str, field: str, rows: int) -> None:
    segments = changed(changed(PREMIUMS, old, new), "ENT*2*2J*EI*E1", "ENT*2*2J*34*123456789")
    (reject,) = [i for i in read("820", segments) if isinstance(i, Reject)]
    assert (reject.code, reject.place.field, reject.rows) == (code, field, rows)
