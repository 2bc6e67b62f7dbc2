"""Time passes by closed days, each once, and reaches only whom something waits for (seam 10)."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.envelope import Fact
from contracts.outcome import Outcome
from contracts.parts import Member
from tests.contracts.given import Data, Folded, Log
from tests.contracts.stored import StoredFold

STARTED: list[Data] = [{"drug": "2025-01-10"}, {"visit": "2025-01-12"}]


@pytest.mark.parametrize("folding", [Folded, StoredFold])
def test_an_earlier_day_and_one_closed_again_do_nothing(folding: type[Folded] | type[StoredFold]) -> None:
    days = [{"closed": day} for day in ("2025-03-01", "2025-03-01", "2025-02-01")]
    *_, first, again, earlier = folding(
        "bcbs-sc", Log("bcbs-sc").opened().enrolled().told([*STARTED, *days]).facts
    ).outcomes
    assert [payment.period for payment in first.payments] == ["2025-02", "2025-03"]
    for nothing in (again, earlier):
        assert (nothing.payments, nothing.episodes, nothing.spends, nothing.returns) == ([], [], [], [])


def test_a_closed_day_reaches_only_whom_something_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log("bcbs-sc").opened().enrolled().enrolled("m2").told(STARTED).told([{"visit": "2025-01-12"}], "m2")
    folded = Folded("bcbs-sc", log.facts)
    reached: list[str] = []
    revisit: Any = folded.fold.revisit

    def noted(member: Member, fact: Fact) -> Outcome:
        reached.append(member.token)
        made: Outcome = revisit(member, fact)
        return made

    monkeypatch.setattr(folded.fold, "revisit", noted)
    for day, whom in (("2025-01-31", []), ("2025-02-01", ["m1"]), ("2025-02-28", []), ("2025-03-01", ["m1"])):
        reached.clear()
        folded.take(log.told([{"closed": day}]).facts[-1])
        assert reached == whom
