"""X12: a transaction set is whole or refused, claims and members come out as sent, and no separator stops us unseen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from contracts.events import (
    ClaimRemitted,
    EnrollmentChanged,
    InstitutionalClaimReceived,
    MemberDescribed,
    ProfessionalClaimReceived,
    RemittanceReceived,
)
from contracts.events.claims import Claim
from formats import x12
from formats.detect import detect, read_file
from formats.reading import Read, ReadFact, Reject

DATA = Path(__file__).parents[3] / "shared" / "data" / "x12"
samples = pytest.mark.skipif(not DATA.is_dir(), reason="the sample data is not beside the repository")

ISA = "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *240131*1147*^*00501*000000907*0*T*:"
ABOVE = [
    "BHT*0019*00*0013*20240301*1200*CH", "NM1*41*2*CLINIC*****46*587654321", "NM1*40*2*PLAN*****46*369852758",
    "HL*1**20*1", "NM1*85*2*CLINIC*****XX*1234567893", "REF*EI*58-7654321",
    "HL*2*1*22*0", "SBR*P*18*******CI", "NM1*IL*1*CANARY*ZEBRA****MI*1EG4TE5MK73", "N4*COLUMBIA*SC*29201",
    "DMG*D8*19500203*F",
]  # fmt: skip
CLAIM = [
    "CLM*ACCOUNT1*1200.5***11:B:1*Y*A*Y*Y", "REF*D9*CH1", "HI*ABK:C3490*ABF:E119", "NM1*82*1*X*Y****XX*1122333341",
    "SBR*S*18*******CI", "NM1*IL*1*OTHER*PERSON****MI*OTHER", "LX*1", "SV1*HC:J9271:JW*1200.5*UN*200***2:1",
    "DTP*472*D8*20240205", "LIN**N4*00006302602", "HCP*10*982.91",
]  # fmt: skip


def interchange(
    *sets: list[str], guide: str = "005010X222A1", kind: str = "837", isa: str = ISA, end: str = "~"
) -> bytes:
    body = [isa, f"GS*HC*S*R*20240131*1147*1*X*{guide}"]
    for i, segments in enumerate(sets, 1):
        body += [f"ST*{kind}*{i:04}*{guide}", *segments, f"SE*{len(segments) + 2}*{i:04}"]
    body += [f"GE*{len(sets)}*1", "IEA*1*000000907"]
    return (end.join(body) + end).encode("utf-8", "surrogateescape")


def read(sent: bytes, size: int = 65_536) -> list[Read]:
    return list(x12.read([sent[i : i + size] for i in range(0, len(sent), size)], "claims.837"))


def events(items: list[Read]) -> list[Any]:
    assert [i for i in items if isinstance(i, Reject)] == []
    return [i.event for i in items if isinstance(i, ReadFact)]


def rejects(items: list[Read]) -> list[Reject]:
    return [i for i in items if isinstance(i, Reject)]


@pytest.mark.parametrize("size", [1, 7, 65_536])
@pytest.mark.parametrize("end", ["~", "~\n", "~\r\n"])
def test_a_professional_claim_whatever_the_chunks_and_line_ends(size: int, end: str) -> None:
    (claim,) = events(read(interchange(ABOVE + CLAIM, end=end), size))
    assert isinstance(claim, ProfessionalClaimReceived)
    assert claim.person is not None
    assert (claim.person.identifier.kind, claim.person.identifier.value) == ("mbi", "1EG4TE5MK73")
    assert (claim.billing_tin, claim.billing_npi, claim.effective_on) == ("58-7654321", "1234567893", date(2024, 3, 1))
    assert (claim.diagnoses, claim.from_on, claim.action) == (("C3490", "E119"), date(2024, 2, 5), "original")
    (line,) = claim.lines
    assert (line.code, line.modifiers, line.ndc, line.units) == ("J9271", ("JW",), "00006302602", Decimal(200))
    assert (line.charge_cents, line.allowed_cents, line.paid_cents) == (120_050, 98_291, 0)
    assert (line.diagnoses, line.place_of_service, line.rendering_npi) == (("E119", "C3490"), "11", "1122333341")
    assert "ACCOUNT1" not in claim.claim_id
    assert claim.patient_control_number == "ACCOUNT1"


def test_a_byte_order_mark_blanks_and_empty_segments_are_passed_over() -> None:
    (plain,) = read(interchange(ABOVE + CLAIM))
    odd = [s.replace("CANARY*", "CANARY  *").replace("C3490*", "C3490 * ") for s in ABOVE + CLAIM]
    file = interchange(odd, end="~\r\n\t").replace(b"SE*", b"~~SE*").replace(b"CH1~", b"CH1  ~")
    (same,) = read(b"\xef\xbb\xbf\r\n" + file)
    assert isinstance(plain, ReadFact)
    assert isinstance(same, ReadFact)
    assert (same.event, same.natural_key) == (plain.event, plain.natural_key)


def test_a_row_whose_bytes_are_no_text_hides_no_other() -> None:
    for spoilt in ("CAN\x00RY", "CAN\udcffRY"):
        other = [s.replace("CANARY", spoilt) for s in ABOVE[3:]]
        sent = interchange(ABOVE + CLAIM + other + CLAIM + ABOVE[3:] + CLAIM)
        items = read(sent)
        assert [type(i).__name__ for i in items] == ["ReadFact", "Reject", "ReadFact"]
        (reject,) = rejects(items)
        assert (reject.code, reject.place.field, reject.rows) == ("unreadable", "NM103", 1)


def test_a_set_that_is_too_large_is_refused_once_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(x12, "MAX_TRANSACTION", 3_000)
    items = read(interchange(ABOVE + CLAIM, ABOVE + CLAIM * 30, ABOVE + CLAIM), 100)
    assert [type(i).__name__ for i in items] == ["ReadFact", "Reject", "ReadFact"]
    (reject,) = rejects(items)
    assert reject.code == "too_large"
    assert isinstance(items[2], ReadFact)
    assert items[2].place.line == items[0].place.line + len(ABOVE + CLAIM) + 2 + len(ABOVE + CLAIM * 30) + 2


def test_stray_segments_are_told_once() -> None:
    sent = interchange(ABOVE + CLAIM).replace(b"GE*1*1", b"REF*A*1~REF*B*2~GE*1*1~REF*C*3")
    assert [(r.code, r.rows) for r in rejects(read(sent))] == [("envelope", 0)] * 2


def test_a_replacement_and_a_void_take_the_place_of_what_was_sent_under_the_same_number() -> None:
    def version(frequency: str) -> Any:
        (claim,) = events(read(interchange(ABOVE + [s.replace("11:B:1", f"11:B:{frequency}") for s in CLAIM])))
        return claim

    original, newer, void = version("1"), version("7"), version("8")
    assert (newer.action, newer.replaces, newer.family) == ("replacement", original.claim_id, original.family)
    assert (void.action, void.replaces) == ("void", original.claim_id)


def test_a_post_adjudicated_claim_has_the_payers_numbers_and_amounts() -> None:
    lines = [
        *CLAIM[:4], "REF*F8*ICN1", "SBR*P*18*******CI", "NM1*PR*2*PLAN*****PI*1", "REF*F8*ICN2", *CLAIM[6:10],
        "SVD*1*786.33*HC:J9271**200", "DTP*573*D8*20240310", "AMT*B6*982.91",
    ]  # fmt: skip
    lines[0] = lines[0].replace("11:B:1", "11:B:7")
    (claim,) = events(read(interchange(ABOVE + lines, guide="005010X298")))
    assert (claim.claim_id, claim.family, claim.replaces) == ("ICN2", "ICN1", "ICN1")
    assert (claim.effective_on, claim.lines[0].paid_cents) == (date(2024, 3, 10), 78_633)
    assert claim.lines[0].allowed_cents == 98_291


@pytest.mark.parametrize(
    ("sent", "numbers", "noted"),
    [
        (("1", "2"), [1, 2], False),
        (("2", "5"), [2, 5], True),
        (("2", "1"), [2, 1], True),
        (("3", "3"), [1, 2], True),
        (("", "2"), [1, 2], True),
        (("1000", "2"), [1, 2], True),
        (("1" * 5_000, "2"), [1, 2], True),
    ],
)
def test_lines_are_numbered_by_their_sender(sent: tuple[str, str], numbers: list[int], noted: bool) -> None:
    more = [f"LX*{sent[1]}", "SV1*HC:96413*150*UN*1***1", "DTP*472*D8*20240205"]
    claim = [f"LX*{sent[0]}" if segment == "LX*1" else segment for segment in CLAIM] + more
    (item,) = x12.read([interchange(ABOVE + claim)], "f")
    assert isinstance(item, ReadFact) and isinstance(item.event, ProfessionalClaimReceived)
    assert [line.line for line in item.event.lines] == numbers
    assert item.findings == (("LX01:order",) if noted else ())


def test_an_institutional_claim() -> None:
    lines = [
        "CLM*A2*89.95***13:A:1*Y*C*Y*Y", "DTP*434*RD8*20240315-20240316", "DTP*435*DT*202403150800",
        "HI*BK:1749", "HI*DR:0470", "LX*1", "SV2*0305*HC:85025*13.39*UN*1.00**1.39", "DTP*472*D8*20240315",
    ]  # fmt: skip
    (claim,) = events(read(interchange(ABOVE + lines, guide="005010X223A2")))
    assert isinstance(claim, InstitutionalClaimReceived)
    assert (claim.setting, claim.type_of_bill, claim.drg) == ("outpatient", "131", "0470")
    assert (claim.from_on, claim.through_on, claim.admitted_on) == (
        date(2024, 3, 15),
        date(2024, 3, 16),
        date(2024, 3, 15),
    )
    assert (claim.diagnoses, claim.source_diagnoses) == (("C509",), ("1749",))
    line = claim.lines[0]
    assert (line.revenue_center, line.charge_cents, line.noncovered_cents) == ("0305", 1_339, 139)


def test_a_patient_without_a_number_is_not_the_subscriber() -> None:
    patient = ["HL*3*2*23*0", "PAT*19", "NM1*QC*1*CANARY*ZOE ANN", "DMG*D8*20100101*F"]
    (own,) = events(read(interchange(ABOVE + CLAIM)))
    (child,) = events(read(interchange(ABOVE + patient + CLAIM)))
    assert own.person.identifier != child.person.identifier
    assert child.person.identifier.value == "1EG4TE5MK73/2010-01-01/ZOEANN"


def test_a_separator_that_isa_does_not_declare_is_repaired_and_told() -> None:
    told, fact = read(interchange(ABOVE + [s.replace(":", ">") for s in CLAIM]))
    assert isinstance(told, Reject)
    assert (told.code, told.rows) == ("separator", 0)
    assert isinstance(fact, ReadFact)
    assert isinstance(fact.event, ProfessionalClaimReceived)
    assert fact.event.diagnoses == ("C3490", "E119")


def test_a_wrong_claim_hides_no_other_and_can_be_read_again() -> None:
    bad = [s.replace("1200.5*UN", "Canary*UN") for s in CLAIM]
    items = read(interchange(ABOVE + bad + CLAIM))
    (reject,) = rejects(items)
    assert (reject.code, reject.place.line, reject.place.field, reject.rows) == ("not_money", 22, "SV102", 1)
    assert "Canary" not in f"{reject}"
    assert len(items) == 2
    (again,) = events(read(reject.raw.replace(b"Canary", b"1200.5")))
    (other,) = [i.event for i in items if isinstance(i, ReadFact)]
    assert again == other


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str, int]] = {
    "SE counts wrongly": (lambda s: s.replace(b"SE*24*", b"SE*25*"), "envelope", 1),
    "SE names another set": (lambda s: s.replace(b"*0001~GE", b"*0009~GE"), "envelope", 1),
    "no SE": (lambda s: s.replace(b"SE*24*0001~", b""), "envelope", 1),
    "breaks off": (lambda s: s[: len(s) // 2], "unreadable", 1),
    "dental": (lambda s: s.replace(b"X222A1", b"X224A2"), "not_read", 1),
    "an older version": (lambda s: s.replace(b"005010X222A1", b"004010X098A1"), "not_read", 1),
    "a remittance": (lambda s: s.replace(b"ST*837", b"ST*835"), "not_read", 1),
    "GE counts wrongly": (lambda s: s.replace(b"GE*1*1", b"GE*7*1"), "envelope", 0),
    "IEA names another": (lambda s: s.replace(b"IEA*1*000000907", b"IEA*1*1"), "envelope", 0),
    "no IEA": (lambda s: s.replace(b"IEA*1*000000907~", b""), "envelope", 0),
    "not UTF-8": (lambda s: s.replace(b"CANARY", b"CAN\xffRY"), "unreadable", 1),
    "a cut ISA": (lambda s: s[:60], "envelope", 1),
    "a segment that never ends": (lambda s: s[:300] + b"x" * 200_000, "unreadable", 1),
    "a segment that never ends, between sets": (lambda s: s[: s.index(b"GE*")] + b"x" * 200_000, "envelope", 1),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_envelope_that_is_broken_is_refused_by_name(case: str) -> None:
    change, code, rows = BROKEN[case]
    reject = rejects(read(change(interchange(ABOVE + CLAIM))))[0]
    assert (reject.code, reject.rows) == (code, rows)
    assert reject.remedy


def test_interchanges_stand_behind_each_other_each_with_its_own_signs() -> None:
    other = interchange(ABOVE + CLAIM).replace(b"*", b"|").replace(b"~", b"!")
    two = interchange(ABOVE + CLAIM, ABOVE + CLAIM)
    assert len(events(read(interchange(ABOVE + CLAIM) + b"\n" + other + two))) == 4
    twice = interchange(ABOVE + CLAIM)
    items = read(twice[: twice.index(b"GE*")] + twice)
    assert [type(i).__name__ for i in items] == ["ReadFact", "Reject", "ReadFact"]


# Enrollment

HEADER = ["BGN*00*12456*20240101*1200****2", "N1*P5*SPONSOR*FI*999888777", "N1*IN*PLAN*FI*654456654"]


def member(*segments: str) -> list[Any]:
    return events(read(interchange([*HEADER, *segments], guide="005010X220A1", kind="834")))


def test_a_member_is_added_with_a_medical_benefit() -> None:
    described, span = member(
        "INS*Y*18*021*20*A***FT", "REF*0F*S1", "NM1*IL*1*CANARY*ZEBRA****MI*M1", "N4*COLUMBIA*SC*29201",
        "DMG*D8*19700614*M", "HD*021**HLT", "DTP*348*D8*20240101", "DTP*349*D8*20241231", "HD*021**VIS",
        "DTP*348*D8*20240101",
    )  # fmt: skip
    assert isinstance(described, MemberDescribed)
    assert (described.birth_year, described.sex, described.state) == (1970, "male", "SC")
    assert isinstance(span, EnrollmentChanged)
    assert (span.coverage, span.covered, span.code, span.reason) == ("plan", True, "18", "20")
    assert (span.from_on, span.through_on) == (date(2024, 1, 1), date(2024, 12, 31))
    assert span.person is not None
    assert span.person.identifier.value == "M1"


def test_an_end_takes_coverage_from_the_day_after_the_last() -> None:
    for segments in (
        ("INS*Y*18*024*08*A***TE", "REF*0F*S1", "NM1*IL*1*A*B****34*103229876", "DTP*357*D8*20240228"),
        ("INS*Y*18*024*08*A***TE", "REF*0F*S1", "NM1*IL*1*A*B", "HD*024**HLT*MEDICARE PART A", "DTP*349*D8*20240228"),
    ):
        _, span = member(*segments)
        assert (span.covered, span.from_on, span.through_on) == (False, date(2024, 2, 29), None)
        assert span.coverage == ("part_a" if "HD*024**HLT*MEDICARE PART A" in segments else "plan")
        assert span.person.identifier.value == "S1"


def test_a_dependent_without_a_number_is_named_apart_from_the_subscriber() -> None:
    described, _ = member(
        "INS*N*19*021*20*A", "REF*0F*S1", "NM1*IL*1*A*ZOE****34*103229876", "DMG*D8*20100101*F", "HD*021**HMO",
        "DTP*348*D8*20240101",
    )  # fmt: skip
    assert described.person.identifier.value == "S1/2010-01-01/ZOE"


# Samples


def take(*patterns: str) -> tuple[list[ReadFact], list[Reject]]:
    items = [i for pattern in patterns for path in sorted(DATA.glob(pattern)) for i in read_file(path)]
    return [i for i in items if isinstance(i, ReadFact)], rejects(items)


@samples
@pytest.mark.parametrize(
    ("pattern", "claims", "cents", "repaired"),
    [
        ("linuxforhealth/837_005010X222A2/*", 18, 807_255, 5),
        ("linuxforhealth/837_005010X223A3/*", 5, 48_222, 2),
        ("hccinfhir-open/sample_837_*", 10, 243_174, 0),
    ],
)
def test_claims_and_their_charges(pattern: str, claims: int, cents: int, repaired: int) -> None:
    read_, refused = take(pattern)
    assert Counter(r.code for r in refused) == ({"separator": repaired} if repaired else {})
    assert (len(read_), sum(i.rows for i in read_)) == (claims, claims)
    found = [i.event for i in read_ if isinstance(i.event, Claim)]
    charges = [line.charge_cents or 0 for claim in found for line in claim.lines]  # type: ignore[attr-defined]
    assert sum(charges) == cents
    assert [c for c in found if not (c.diagnoses or c.source_diagnoses)] == []  # type: ignore[attr-defined]


@samples
def test_the_same_bytes_are_the_same_claim() -> None:
    folder = "linuxforhealth/837_005010X222A2/"
    (first,), _ = take(folder + "demo.example6.837")
    (second,), _ = take(folder + "demo.cob.2ndary.example4.837")
    assert (first.event, first.natural_key) == (second.event, second.natural_key)


@samples
def test_members() -> None:
    read_, refused = take("linuxforhealth/834*/*")
    assert sum(1 for i in read_ if isinstance(i.event, MemberDescribed)) == 9
    assert Counter((r.code, r.place.field) for r in refused) == {("no_date", "DTP03"): 1}
    _, refused = take("hccinfhir-open/sample_834*")
    assert Counter((r.code, r.rows) for r in refused) == {("envelope", 5): 1, ("not_a_date", 1): 1}


@samples
def test_remittances_balance_and_name_the_payers_claims() -> None:
    read_, refused = take("linuxforhealth/835*/*")
    claims = [i.event for i in read_ if isinstance(i.event, ClaimRemitted)]
    wholes = [i.event for i in read_ if isinstance(i.event, RemittanceReceived)]
    assert (len(claims), sum(c.paid_cents for c in claims), sum(i.rows for i in read_)) == (8, 15_238_723, 8)
    assert Counter((r.code, r.rows) for r in refused) == {("separator", 0): 2}
    assert len(wholes) == 5
    (medicare,) = [w for w in wholes if w.adjustments]
    assert (medicare.amount_cents, medicare.items_cents, medicare.payee) == (15_000_000, 14_999_873, "6543210903")
    assert [(a.reason, a.amount_cents) for a in medicare.adjustments] == [("CV", -127)]
    shifted = next(i for i in read_ if "SVC03:balance" in i.findings)
    assert isinstance(shifted.event, ClaimRemitted)
    assert (shifted.event.paid_cents, shifted.event.lines) == (18_750, ())


@samples
def test_everything_else_is_refused_by_name() -> None:
    read_, others = take("linuxforhealth/27*/*", "imsweb-open/*")
    assert read_ == []
    assert {r.code for r in others} == {"not_read", "envelope"}


@samples
def test_every_row_of_every_sample_is_accounted_for() -> None:
    for path in sorted(DATA.rglob("*")):
        if not path.is_file():
            continue
        segments = [s.strip() for s in path.read_bytes().split(b"~")]
        names = Counter(s.split(b"*")[0] for s in segments)
        rows = names[b"CLM"] + names[b"INS"] + names[b"CLP"] or names[b"ST"]
        for validate in ("syntax", "full"):
            items = list(x12.read([path.read_bytes()], path.name, validate=validate))
            assert sum(item.rows for item in items) == rows, path.name


@samples
def test_every_file_is_told_by_its_content() -> None:
    for path in DATA.rglob("*"):
        if path.is_file():
            assert detect(path.read_bytes().splitlines(keepends=True)[:3], "x") == "x12"
