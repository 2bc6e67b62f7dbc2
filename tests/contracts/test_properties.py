"""What holds for every history: order does not matter, deltas add up, and nothing depends on what is in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.claims import survivors
from contracts.events import PaymentDetermined
from contracts.events.payments import RecoupmentRiskChanged
from contracts.outcome import Outcome, ledger_lines
from contracts.parts import ClaimRecord, Family
from contracts.recoupment_risk import KIND as AT_RISK
from tests.contracts.given import CLAIMS, Data, Folded, Log, Said, Standing, Teller, model_of
from tests.contracts.histories import claims, contracts, employees, logs, work
from tests.contracts.stored import CachedFold, StoredFold

QUICK = settings(max_examples=60, derandomize=True, deadline=None, database=None)
LONG = settings(
    max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
LONG_SECONDS = 7_200
Property = Callable[..., None]


def both(examples: int, *strategies: st.SearchStrategy[Any]) -> Callable[[Property], Property]:
    """A property run with a few fixed examples, and with 10,000 random ones under `-m long`."""

    def wrap(holds: Property) -> Property:
        drawn = given(*strategies)(holds)
        quick = settings(QUICK, max_examples=examples)(drawn)
        long = LONG(given(*strategies)(holds))

        marked = pytest.param(long, marks=[pytest.mark.long, pytest.mark.timeout(LONG_SECONDS)])

        @pytest.mark.parametrize("run", [quick, marked], ids=["quick", "long"])
        def test(run: Property) -> None:
            run()

        test.__doc__, test.__name__ = holds.__doc__, holds.__name__
        return test

    return wrap


def plain(outcome: Outcome) -> Any:
    """An outcome as plain values."""
    return msgspec.to_builtins(outcome)


def fold_said(contract: str, said: list[Said]) -> Standing:
    """The standing after these events, in this order."""
    log = Log(contract).opened().enrolled()
    for model, data in said:
        log.say(model, data)
    return Standing.of(Folded(contract, log.facts).outcomes)


@both(40, claims(2), work(), st.data())
def test_records_of_work_in_any_order_end_alike(told: list[Data], worked: list[Data], data: st.DataObject) -> None:
    """Returns and bonuses do not depend on the order in which claims, hours and leaves came."""
    said = Teller("employer", told).tell() + Teller("employer", worked).tell()
    order = data.draw(st.permutations(range(len(said))))
    closed = Teller("employer", [{"closed": "2025-09-30"}]).tell()
    one = fold_said("employer", [said[i] for i in order] + closed).final()
    assert fold_said("employer", closed + said).final() == one


@both(60, employees())
def test_nothing_of_work_depends_on_what_is_in_memory(log: Log) -> None:
    """A member stored and loaded between any two facts, or kept and losing old months, decides the same."""
    live = [plain(o) for o in Folded(log.contract, log.facts).outcomes]
    assert [plain(o) for o in StoredFold(log.contract, log.facts).outcomes] == live
    assert [plain(o) for o in CachedFold(log.contract, log.facts).outcomes] == live


@both(40, contracts, claims())
def test_the_surviving_claims_alone_give_the_same(contract: str, told: list[Data]) -> None:
    """Incremental sums equal a fresh member's who only ever had what is left of each claim."""
    said = Teller(contract, told).tell()
    families: dict[str, list[Said]] = {}
    for one in said:
        families.setdefault(one[1]["family"], []).append(one)
    left = []
    for family in families.values():
        left += _left(contract, family)
    assert fold_said(contract, left).final() == fold_said(contract, said).final()


def _left(contract: str, family: list[Said]) -> list[Said]:
    """The surviving lines of a family, each record an original in a family of its own."""
    log = Log(contract).opened()
    facts = [log.say(*one) for one in family]
    folded = Folded(contract, log.facts)
    (state,) = folded.members["m1"].families.values()
    assert len(state.records) == len(facts)
    found: dict[int, set[int]] = {}
    for i, j in survivors(state.records):
        found.setdefault(i, set()).add(state.records[i].units[j].line)
    left = []
    for i, lines in found.items():
        model, data = family[i]
        data = {**data, "action": "original", "replaces": None, "family": f"{data['claim_id']}x"}
        if model.__name__ == "ProfessionalClaimReceived":
            data["lines"] = [_kept(line, lines) for line in data["lines"]]
        left.append((model, data))
    return left


def _kept(line: Data, lines: set[int]) -> Data:
    """A line as it was, or denied: it still stands on the claim, and counts for nothing."""
    return line if line["line"] in lines else {**line, "denied": True}


@both(80, logs())
def test_sums_add_up_and_reversals_are_exact(log: Log) -> None:
    """Net payments are those in force, ledger lines sum to zero, events are of their schema and name their facts."""
    folded = Folded(log.contract, log.facts)
    standing = Standing.of(folded.outcomes)
    sequence = 0
    for fact, outcome in zip(log.facts, folded.outcomes, strict=True):
        for payment in outcome.payments:
            sequence += 1
            assert (payment.sequence, payment.offset, payment.cause) == (sequence, fact.offset, fact.fact_id)
            assert sum(line.amount_cents for line in ledger_lines(folded.payer, payment)) == 0
            model = RecoupmentRiskChanged if payment.kind == AT_RISK else PaymentDetermined
            model.model_validate_json(msgspec.json.encode(payment.event))
            for used in payment.event["facts"]:
                assert log.facts[used["position"]["offset"]].fact_id == used["event_id"]
                assert used["position"]["offset"] <= fact.offset
    in_force: dict[tuple[str, str, str], int] = {}
    for payment in standing.in_force.values():
        key = (payment.episode_id, payment.kind, payment.period)
        assert key not in in_force, "one payment of a kind for a period"
        in_force[key] = payment.amount_cents
        assert standing.episodes[payment.episode_id]["included"]
    assert standing.net() == in_force
    live = standing.live
    for earlier, next_ in itertools.pairwise(live):
        assert earlier["ends_on"] < next_["started_on"]
    for member in folded.members.values():
        assert [e["started_on"] for e in live] == member.head.episodes
        for start in member.head.episodes:
            episode = member.episodes[start]
            assert episode.expenditure_cents == standing.expenditure.get(episode.episode_id, 0)


@both(40, logs(), st.integers(0, 40))
def test_a_prefix_replayed_is_the_prefix(log: Log, upto: int) -> None:
    """What was decided by a position is decided again by a replay up to it, and by another run of the whole."""
    whole = [plain(o) for o in Folded(log.contract, log.facts).outcomes]
    assert [plain(o) for o in Folded(log.contract, log.facts[:upto]).outcomes] == whole[:upto]


@both(100, logs())
def test_nothing_depends_on_what_is_in_memory(log: Log) -> None:
    """A member stored and loaded between any two facts, only with the parts asked for, decides the same."""
    live = Folded(log.contract, log.facts)
    few = StoredFold(log.contract, log.facts)
    for i, (one, other) in enumerate(zip(live.outcomes, few.outcomes, strict=True)):
        assert plain(one) == plain(other), f"fact {i}: {log.facts[i].type}"


@both(60, logs())
def test_nothing_depends_on_how_long_it_is_in_memory(log: Log) -> None:
    """A member kept in memory, which gains and loses months there, decides the same."""
    live = Folded(log.contract, log.facts)
    cached = CachedFold(log.contract, log.facts)
    assert [plain(o) for o in live.outcomes] == [plain(o) for o in cached.outcomes]


@both(40, logs())
def test_deciding_again_changes_nothing(log: Log) -> None:
    """With all evidence gathered anew, every episode is found and judged as it stands."""
    folded = Folded(log.contract, log.facts)
    for member in folded.members.values():
        member.windows.clear()
        member.traces.clear()
        assert folded.fold.revisit(member, log.facts[-1]) == Outcome()


@both(20, logs())
def test_all_parts_stored_and_loaded_decide_the_same(log: Log) -> None:
    """Encoding every part between any two facts changes nothing."""
    live = Folded(log.contract, log.facts)
    stored = StoredFold(log.contract, log.facts, always_all=True)
    assert [plain(o) for o in live.outcomes] == [plain(o) for o in stored.outcomes]


@both(40, claims())
def test_what_survives_does_not_depend_on_order(told: list[Data]) -> None:
    """The lines of a family that count are the same whichever record came first."""
    log = Log("medicare-eom").opened()
    log.told(told)
    folded = Folded("medicare-eom", log.facts)
    for family in folded.members["m1"].families.values():
        forward, back = family.records, family.records[::-1]
        assert _counted(forward) == _counted(back)
        assert family.surviving == survivors(forward)


def _counted(records: list[ClaimRecord]) -> set[tuple[str, int]]:
    return {(records[i].claim_id, records[i].units[j].line) for i, j in survivors(records)}


def test_a_family_starts_empty() -> None:
    assert survivors(Family().records) == []
    assert model_of(CLAIMS[0]).type_name() == "carepact.ProfessionalClaimReceived.v1"
