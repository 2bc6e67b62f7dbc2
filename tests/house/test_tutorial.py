"""The facts of the tutorial give what its page says: a payment of 110.00, taken back when its claim is voided."""

from __future__ import annotations

from pathlib import Path

from contracts.envelope import Fact
from contracts.events import ContractAdopted, Event, MemberFact, TermsAdopted
from contracts.parts import Adoption, Member
from contracts.roster import bundled_sheet, contract_digest, fold_for
from formats.detect import read_file
from formats.reading import ReadFact

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial"
CONTRACT = "medicare-eom"


def test_the_facts_of_the_tutorial_pay_and_take_back() -> None:
    version, digest, content = bundled_sheet(CONTRACT)
    said: list[Event] = [
        TermsAdopted(contract=CONTRACT, sheet_version=version, digest=digest, content=content),
        ContractAdopted(contract=CONTRACT, digest=contract_digest(CONTRACT), build="test"),
    ]
    for name in ("facts.ndjson", "void.ndjson"):
        read = list(read_file(TUTORIAL / name))
        assert all(isinstance(one, ReadFact) for one in read), read
        said += [one.event for one in read if isinstance(one, ReadFact)]
    fold = fold_for(CONTRACT, "medicare", Adoption())
    member = Member("medicare", 0, "m")
    member.since = ""
    amounts = []
    for offset, event in enumerate(said):
        about = member.token if isinstance(event, MemberFact) else ""
        fact = Fact(f"e{offset}", f"e{offset}", event.type_name(), about, "", event, "log", 0, offset, 0, "")
        if not about:
            fold.adopt(fact)
            continue
        amounts += [payment.amount_cents for payment in fold.apply(member, fact).payments]
    assert [11000, -11000] == amounts
