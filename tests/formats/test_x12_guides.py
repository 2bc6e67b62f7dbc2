"""--validate full: what a guide has against a set stands as findings, whatever the validator does."""

from __future__ import annotations

import logging

import pytest

from formats import x12, x12_guides
from formats.reading import ReadFact, Reject
from tests.formats.x12_samples import (
    INSTITUTIONAL,
    PREMIUMS,
    PROFESSIONAL,
    REMITTANCE,
    ROSTER,
    made,
)

SAMPLES = {"837": PROFESSIONAL, "837I": INSTITUTIONAL, "834": ROSTER, "835": REMITTANCE, "820": PREMIUMS}


def facts(sent: bytes) -> list[ReadFact]:
    items = list(x12.read([sent], "f", validate="full"))
    assert [i for i in items if isinstance(i, Reject)] == []
    return [i for i in items if isinstance(i, ReadFact)]


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_set_that_keeps_its_guide_has_no_findings(kind: str) -> None:
    assert {fact.findings for fact in facts(made(kind, SAMPLES[kind]))} == {()}


@pytest.mark.parametrize(
    ("kind", "change", "finding"),
    [
        ("837", ("DMG*D8*19500203*F", "DMG*D8*19500203*X"), "DMG03:7"),
        ("837", ("PER*IC*JANE*TE*8035550100", "PER*IC*JANE*TE*80355501000000000000" + "0" * 256), "PER04:5"),
        ("837", ("LX*2", "LX*3"), "LX01:7"),
        ("837", ("HL*2*1*22", "HL*7*1*22"), "HL01:7"),
        ("837I", ("CL1***01", "CL1***"), "CL103:1"),
        ("834", ("INS*Y*18*021*20*A***FT", "INS*Y*18*021*20*A***XX"), "INS08:7"),
        ("835", ("PER*BL*HELP*TE*8035550100", "REF*2U*1"), "PER:3"),
        ("820", ("N1*PR*MILL", "N1*ZZ*MILL"), "N1:1"),
    ],
)
def test_what_a_guide_asks_for_and_is_not_there_is_told_and_takes_nothing(
    kind: str, change: tuple[str, str], finding: str
) -> None:
    sent = [s.replace(*change) for s in SAMPLES[kind]]
    assert sent != SAMPLES[kind]
    found = facts(made(kind, sent))
    assert len(found) == len(facts(made(kind, SAMPLES[kind])))
    assert any(finding in " ".join(fact.findings) for fact in found), [fact.findings for fact in found]


def test_a_finding_stands_on_the_claims_it_is_about() -> None:
    wrong = [s.replace("DTP*472*D8*20240205", "DTP*472*D8*20240205*X") for s in PROFESSIONAL[17:]]
    first, second = facts(made("837", PROFESSIONAL + wrong))
    assert (first.findings, set(second.findings)) == ((), {"DTP04:3"})


def test_a_siblings_guide_is_checked_and_one_without_a_map_says_it_was_not() -> None:
    assert [f.findings for f in facts(made("837", PROFESSIONAL).replace(b"X222A1", b"X222A2"))] == [()]
    (post,) = facts(made("837", PROFESSIONAL).replace(b"X222A1", b"X298"))
    assert post.findings == ("GS08:unchecked",)


def test_what_the_validator_throws_leaves_a_note_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def throws(*_: object) -> object:
        raise KeyError("CANARY")

    monkeypatch.setattr(x12_guides, "_map", throws)
    (fact,) = facts(made("837", PROFESSIONAL))
    assert fact.findings == ("ST:unchecked",)


def test_nothing_that_was_sent_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        facts(made("837", [s.replace("*F", "*CANARY") for s in PROFESSIONAL]))
    assert "CANARY" not in caplog.text
