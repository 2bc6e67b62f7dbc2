"""TA1, 999 and 277CA say what was taken and what not, with segment, element and code; pyx12 finds nothing in them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyx12 import map_if
from pyx12.params import ParamsUnix
from pyx12.x12n_document import x12n_document

from carepact.acknowledging import Acknowledging
from formats import x12
from formats.reading import Place, Reject
from formats.x12_acknowledge import Kind, acknowledge
from tests.formats.test_x12 import ABOVE, BROKEN, CLAIM, HEADER, interchange, samples
from tests.formats.x12_samples import DATA, INSTITUTIONAL, PREMIUMS, PROFESSIONAL, REMITTANCE, ROSTER, made

PARAMS = ParamsUnix()
SETS = {"837": PROFESSIONAL, "837I": INSTITUTIONAL, "834": ROSTER, "835": REMITTANCE, "820": PREMIUMS}
WRONG = ("", "0", "\x00", "A" * 90, "20249999", "1.005", "-5", "1e5", "MI", "99")
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True, scope="module")
def maps_read_once() -> Iterator[None]:
    """pyx12 reads its maps anew for each document."""
    read = cache(map_if.load_map_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(map_if, "load_map_file", lambda name, *_: read(name, PARAMS))
        yield


def answers(sent: bytes, validate: x12.Validate = "syntax") -> dict[Kind, list[str]]:
    """The segments of each answer; all of them are valid by pyx12's maps."""
    found = acknowledge([sent], "claims.837", AT, 7, validate=validate)
    for text in found.values():
        assert_valid(text)
    return {kind: text.decode("ascii").replace("\n", "").split("~")[:-1] for kind, text in found.items()}


def assert_valid(text: bytes) -> None:
    told = io.StringIO()
    assert x12n_document(PARAMS, io.StringIO(text.decode("ascii")), None, None, fd_json=told), told.getvalue()
    wrong = [e for i in json.loads(told.getvalue())["interchanges"] for g in i["groups"] for e in g["errors"]]
    assert wrong == []


def only(segments: list[str], *names: str) -> list[str]:
    return [each for each in segments if each.split("*")[0] in names]


def test_what_is_taken_whole_is_accepted_at_every_level() -> None:
    told = answers(interchange(ABOVE + CLAIM))
    assert only(told["ta1"], "TA1") == ["TA1*000000907*240131*1147*A*000"]
    assert only(told["999"], "AK1", "AK2", "IK5", "AK9") == [
        "AK1*HC*1*005010X222A1", "AK2*837*0001*005010X222A1", "IK5*A", "AK9*A*1*1*1",
    ]  # fmt: skip
    assert only(told["277ca"], "TRN", "STC", "QTY", "AMT", "REF", "DTP") == [
        "TRN*1*90001", "DTP*050*D8*20260301", "DTP*009*D8*20260301", "TRN*2*0013", "STC*A1:19:PR*20260301*WQ*1200.5",
        "QTY*90*1", "AMT*YU*1200.5", "TRN*1*0", "STC*A1:19:PR**WQ*1200.5", "QTY*QA*1", "AMT*YU*1200.5",
        "TRN*2*ACCOUNT1", "STC*A2:20*20260301*WQ*1200.5", "REF*D9*CH1", "DTP*472*D8*20240205",
    ]  # fmt: skip
    numbers: dict[Kind, str] = {"ta1": "000000007", "999": "000000008", "277ca": "000000009"}
    for kind, number in numbers.items():
        isa = told[kind][0].split("*")
        assert (isa[6].strip(), isa[8].strip(), isa[13]) == ("RECEIVER", "SENDER", number)


def test_the_same_file_instant_and_number_give_the_same_bytes_however_it_is_cut() -> None:
    sent = interchange(ABOVE + CLAIM, ABOVE + CLAIM)
    pieces = [sent[at : at + 7] for at in range(0, len(sent), 7)]
    assert acknowledge([sent], "f", AT, 1) == acknowledge(pieces, "g", AT, 1)


def test_a_wrong_claim_is_refused_beside_the_good_one_with_segment_element_and_code() -> None:
    bad = [s.replace("1200.5*UN", "Canary*UN") for s in CLAIM]
    told = answers(interchange(ABOVE + bad + CLAIM))
    assert only(told["999"], "IK3", "IK4", "IK5", "AK9") == ["IK3*SV1*20**8", "IK4*2**6", "IK5*E*5", "AK9*E*1*1*1"]
    assert [s for s in only(told["277ca"], "STC") if s[4:6] in ("A2", "A7")] == [
        "STC*A7:178*20260301*U*1200.5",
        "STC*A2:20*20260301*WQ*1200.5",
    ]
    assert only(told["277ca"], "QTY")[:2] == ["QTY*90*1", "QTY*AA*1"]
    assert "Canary" not in "".join(told["999"] + told["277ca"])


@pytest.mark.parametrize(
    ("change", "in_999", "status"),
    [
        (("DTP*472*D8*20240205", "REF*6R*1"), ["IK3*DTP*13**3"], "A6:187"),
        (("D8*20240205", "D8*20249999"), ["IK3*DTP*21**8", "IK4*3**8"], "A7:187"),
        (("****MI*1EG4TE5MK73", ""), ["IK3*NM1*10**8", "IK4*9**1"], "A6:164:IL"),
        (("D8*19500203", "D8*1950"), ["IK3*DMG*12**8", "IK4*2**8"], "A7:158:QC"),
        (("ABK:C3490", "ABK:C34 CANARY"), ["IK3*HI*15**8"], "A7:684"),
        (("J9271:JW", "J9271:J W"), ["IK3*SV1*20**8"], "A7:684"),
        (("CANARY", "CAN\x00RY"), ["IK3*NM1*10**8", "IK4*3**6"], "A7:684"),
    ],
)
def test_each_fault_of_a_claim_has_its_place_and_its_status(
    change: tuple[str, str], in_999: list[str], status: str
) -> None:
    told = answers(interchange([s.replace(*change) for s in ABOVE + CLAIM]))
    assert only(told["999"], "IK3", "IK4") == in_999
    assert f"STC*{status}*20260301*U*1200.5" in told["277ca"]


SAYS: dict[str, tuple[str, str]] = {
    "SE counts wrongly": ("A*000", "IK5*R*4"),
    "SE names another set": ("A*000", "IK5*R*3"),
    "no SE": ("A*000", "IK5*R*2"),
    "breaks off": ("R*023", "IK5*R*2"),
    "dental": ("A*000", "IK5*R*1"),
    "an older version": ("A*000", "IK5*R*I6"),
    "a remittance": ("A*000", "IK5*R*I6"),
    "GE counts wrongly": ("A*000", "AK9*E*7*1*1*5"),
    "IEA names another": ("E*001", "IK5*A"),
    "no IEA": ("R*023", "IK5*A"),
    "not UTF-8": ("A*000", "IK4*3**6"),
    "a segment that never ends": ("R*023", "IK5*R*2"),
    "a segment that never ends, between sets": ("R*023", "IK5*A"),
    "a cut ISA": ("", ""),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_envelope_is_answered(case: str) -> None:
    note, in_999 = SAYS[case]
    told = answers(BROKEN[case][0](interchange(ABOVE + CLAIM)))
    assert only(told.get("ta1", []), "TA1") == ([f"TA1*000000907*240131*1147*{note}"] if note else [])
    assert in_999 in told["999"] if in_999 else "999" not in told
    assert ("277ca" in told) == (in_999 in ("IK5*A", "AK9*E*7*1*1*5", "IK4*3**6"))


def test_an_interchange_within_another_or_with_a_number_twice_is_told() -> None:
    whole = interchange(ABOVE + CLAIM)
    twice = only(answers(whole + whole)["ta1"], "TA1")
    assert [each.split("*", 4)[4] for each in twice] == ["A*000", "E*025"]
    within = only(answers(whole[: whole.index(b"IEA*")] + whole)["ta1"], "TA1")
    assert [each.split("*", 4)[4] for each in within] == ["R*022", "E*025"]


def test_a_member_or_a_claim_payment_that_is_refused_is_told_by_999_alone() -> None:
    ins = ["INS*Y*18*099*20*A", "REF*0F*S1", "NM1*IL*1*A*B"]
    told = answers(interchange([*HEADER, *ins], guide="005010X220A1", kind="834"))
    assert only(told["999"], "IK3", "IK4", "IK5", "AK9") == ["IK3*INS*5**8", "IK4*3**7", "IK5*R*5", "AK9*R*1*1*0"]
    assert "277ca" not in told
    told = answers(made("835", [s.replace("*945.00*", "*945.01*") for s in REMITTANCE]))
    assert only(told["999"], "IK3", "IK4", "IK5", "AK9") == ["IK3*BPR*2**8", "IK4*2**7", "IK5*R*5", "AK9*R*1*1*0"]


@pytest.mark.parametrize(
    ("change", "note", "in_999"),
    [
        (("*ZZ*SENDER         *", "*XX*SENDER         *"), "E*005", "IK5*A"),
        (("*ZZ*RECEIVER       *", "*XX*RECEIVER       *"), "E*007", "IK5*A"),
        (("*00501*0", "*00401*0"), "E*017", "IK5*A"),
        (("GS*HC*", "GS*H*"), "E*024", ""),
        (("*1147*1*X*", "*1147*ONE*X*"), "E*024", ""),
        (("*0001*", "*1*"), "A*000", "IK5*R*3*7"),
        (("ST*837*", "ST*8Z7*"), "A*000", "AK9*R*1*1*0"),
    ],
)
def test_what_cannot_be_named_in_an_answer_is_told_by_the_level_above(
    change: tuple[str, str], note: str, in_999: str
) -> None:
    told = answers(made("837", PROFESSIONAL).decode().replace(*change).encode())
    assert only(told["ta1"], "TA1")[0].split("*", 4)[4] == note
    assert (in_999 in told["999"]) if in_999 else ("999" not in told)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_whatever_is_wrong_its_answer_is_valid(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(SETS)))
    segments = made(kind, SETS[kind]).decode().split("~")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(segments) - 1))
        elements = segments[at].split("*")
        where = data.draw(st.integers(0, len(elements) - 1))
        elements[where] = data.draw(st.sampled_from(WRONG) | st.text("AZ09*~:^ -.é", max_size=12))
        segments[at] = "*".join(elements)
    answers("~".join(segments).encode())


def test_acknowledgements_are_not_acknowledged() -> None:
    sent = acknowledge([interchange(ABOVE + CLAIM)], "f", AT, 1)["999"]
    assert list(answers(sent)) == ["ta1"]


def test_what_the_guide_has_against_a_set_is_told_and_keeps_nothing_from_being_taken() -> None:
    assert only(answers(made("837", PROFESSIONAL), "full")["999"], "IK3", "AK9") == ["AK9*A*1*1*1"]
    sent = made("837", [s.replace("DMG*D8*19500203*F", "DMG*D8*19500203*X") for s in PROFESSIONAL])
    assert only(answers(sent)["999"], "IK3", "AK9") == ["AK9*A*1*1*1"]
    told = answers(sent, "full")
    assert only(told["999"], "IK3", "IK4", "AK9") == ["IK3*DMG*17**8", "IK4*3**7", "AK9*E*1*1*1"]
    assert "STC*A2:20*20260301*WQ*1350.5" in told["277ca"]


def test_what_the_door_refuses_is_refused_in_277ca_and_written_for_its_owner_only(tmp_path: Path) -> None:
    answering = Acknowledging("syntax", tmp_path / "answers")
    for _ in range(2):
        items = list(answering.readers["x12"]([interchange(ABOVE + CLAIM + CLAIM)], "claims.837"))
    refused = items[-1].place
    answering.refused(Reject(Place(refused.file, refused.line), "unknown_plan", "", ""))
    written = answering.write(AT)
    assert [path.name for path in written] == [
        *(f"claims.837.{kind}" for kind in ("ta1", "999", "277ca")),
        *(f"claims.837.2.{kind}" for kind in ("ta1", "999", "277ca")),
    ]
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    controls = [path.read_bytes().split(b"*")[13] for path in written]
    assert len(set(controls)) == 6
    assert (b"A3:116" in written[2].read_bytes(), b"A3:116" in written[5].read_bytes()) == (False, True)


@samples
def test_every_sample_is_answered_by_valid_x12() -> None:
    for path in sorted(DATA.rglob("*")):
        if path.is_file():
            told = answers(path.read_bytes())
            is_answer = path.name == "x12_999_accepted.txt"
            assert set(told) >= ({"ta1"} if is_answer else {"ta1", "999"})
            assert ("277ca" in told) == (".837" in path.name or "_837_" in path.name)
