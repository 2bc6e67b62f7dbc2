"""Seven properties that hold for every history and every figure: 300 examples each, and 10,000 by `-m long`.

1. any order and batching of claim records gives the same totals; 2. the sum of emitted deltas is the current total;
3. void plus original is nothing, to the cent; 4. no payment above the stop-gain, no recoupment above the stop-loss;
5. more quality never pays less; 6. every day of initiation and of service has its terms, the days around the model have
none; 7. the parts of a pooled payment sum to the whole.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st

from contracts.determining import parted
from contracts.roster import bundled_sheet
from contracts.terms import TermSheet
from contracts.trial import TRIALS, Refused, answer, find
from tests.contracts.given import Data, Folded, Log, Standing, Teller
from tests.contracts.histories import claims, contracts
from tests.contracts.stored import CachedFold
from tests.contracts.test_properties import both, fold_said

EOM = "medicare-eom"
EXAMPLES = 300
FEW = claims(2)
STOPS = {"RA1": (Decimal("0.04"), Decimal("0.02")), "RA2": (Decimal("0.12"), Decimal("0.06"))}
days = st.dates(date(2023, 7, 1), date(2029, 12, 31)).map(date.isoformat)
money = st.integers(0, 2_000_000_000).map(lambda cents: str(Decimal(cents) / 100))
ratio = st.one_of(st.integers(0, 20_000), st.integers(8_000, 12_000)).map(lambda n: Decimal(n) / 10_000)
score = st.integers(0, 10_000).map(lambda hundredths: str(Decimal(hundredths) / 100))
arrangement = st.sampled_from(["RA1", "RA2"])


@both(EXAMPLES, contracts, FEW, st.data())
def test_1_any_order_and_batching_of_claim_records_gives_the_same_totals(
    contract: str, told: list[Data], data: st.DataObject
) -> None:
    """Members are written at the end of each batch, and read again by the next."""
    said = Teller(contract, told).tell()
    order = data.draw(st.permutations(range(len(said))))
    ends = data.draw(st.sets(st.integers(0, len(said) + 10), max_size=6))
    log = Log(contract).opened().enrolled()
    for i in order:
        log.say(*said[i])
    batched = CachedFold(contract)
    for n, fact in enumerate(log.facts):
        batched.take(fact)
        if n in ends:
            batched.kept.clear()
    assert Standing.of(batched.outcomes).final() == fold_said(contract, said).final()


@both(EXAMPLES, contracts, FEW, st.data())
def test_2_the_sum_of_emitted_deltas_is_the_current_total(contract: str, told: list[Data], data: st.DataObject) -> None:
    """Of expenditure by episode, and of money by episode, kind and period; through every prefix."""
    said = Teller(contract, told).tell()
    log = Log(contract).opened().enrolled()
    for i in data.draw(st.permutations(range(len(said)))):
        log.say(*said[i])
    folded, spent, paid = Folded(contract), Counter[str](), Counter[tuple[str, str, str]]()
    for fact in log.facts:
        outcome = folded.take(fact)
        for change in outcome.spends:
            spent[change.episode_id] += change.delta_cents
        for payment in outcome.payments:
            paid[payment.episode_id, payment.kind, payment.period] += payment.amount_cents
        for member in folded.members.values():
            for episode in member.episodes.values():
                assert spent[episode.episode_id] == episode.expenditure_cents
                owed = {(episode.episode_id, o.kind, o.period): o.amount_cents for o in episode.owed.values()}
                assert {k: v for k, v in paid.items() if k[0] == episode.episode_id and v} == owed


@both(EXAMPLES, contracts, FEW, st.booleans())
def test_3_a_void_and_its_original_are_nothing_to_the_cent(contract: str, told: list[Data], named: bool) -> None:
    """Whichever way the void finds what it takes away, and whatever the claim was."""
    originals = [short for short in told if "void" not in short and "replace" not in short and "family" not in short]
    voids = [
        {"void": short["id"], "unnamed": not named, "id": f"{short['id']}w", "effective": "2030-01-01"}
        for short in originals
    ]
    standing = fold_said(contract, Teller(contract, originals + voids).tell())
    assert standing.live == []
    assert standing.net() == {}
    assert not any(standing.expenditure.values())


def reconciled(day: str, ra: str, benchmark: str, actual: str, aqs: str, gaf: str = "1") -> dict[str, Any]:
    """A result by the clause that settles."""
    figures = {"benchmark": benchmark, "actual": actual, "aqs": aqs, "gaf": gaf}
    return answer(find(EOM, "reconciliation"), {"initiated_on": day, "risk_arrangement": ra, **figures})


def spent(benchmark: str, share: Decimal) -> str:
    """A part of a benchmark, in cents."""
    return str((Decimal(benchmark) * share).quantize(Decimal("0.01")))


@both(EXAMPLES, days, arrangement, money, ratio, score, st.sampled_from(["0.9", "1"]))
def test_4_no_payment_is_above_the_stop_gain_and_no_recoupment_above_the_stop_loss(
    day: str, ra: str, benchmark: str, share: Decimal, aqs: str, gaf: str
) -> None:
    """Geography comes after the stop, so a factor above one may lift a payment over it; at one and below none can."""
    result = reconciled(day, ra, benchmark, spent(benchmark, share), aqs, gaf)
    gain, loss = (100 * stop * Decimal(benchmark) for stop in STOPS[ra])
    assert 0 <= result["pbp_cents"] <= gain + Decimal("0.5")
    assert 0 <= result["pbr_cents"] <= loss + Decimal("0.5")
    assert result["pbp_cents"] == 0 or result["pbr_cents"] == 0


@both(EXAMPLES, days, arrangement, money, ratio, score, score)
def test_5_more_quality_never_pays_less_nor_owes_more(
    day: str, ra: str, benchmark: str, share: Decimal, one: str, other: str
) -> None:
    less, more = sorted((one, other), key=Decimal)
    actual = spent(benchmark, share)
    worse, better = reconciled(day, ra, benchmark, actual, less), reconciled(day, ra, benchmark, actual, more)
    assert worse["zone"] == better["zone"]
    assert better["pbp_cents"] >= worse["pbp_cents"]
    assert better["pbr_cents"] <= worse["pbr_cents"]


def every(first: date, last: date) -> list[str]:
    """Each day from one through another."""
    return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


@pytest.mark.parametrize("contract", [EOM, "bcbs-sc", "employer"])
def test_6_every_day_of_initiation_and_of_service_has_its_terms(contract: str) -> None:
    sheet = TermSheet(bundled_sheet(contract)[2])
    for day in every(date(2023, 7, 1), date(2030, 6, 30)):
        for name in sheet.content["terms"]:
            value = sheet.on(name, day)
            assert value.from_on <= day
            assert value.source and value.status


def test_6_every_day_of_initiation_is_settled_by_its_clauses() -> None:
    figures = {"risk_arrangement": "RA1", "benchmark": "100", "actual": "99", "aqs": 75, "gaf": 1}
    periods = set()
    for day in every(date(2023, 7, 1), date(2029, 12, 31)):
        periods.add(answer(find(EOM, "episode-window"), {"initiated_on": day})["performance_period"])
        zone = answer(find(EOM, "reconciliation"), {**figures, "initiated_on": day})["zone"]
        assert zone == ("owed" if day < "2025-01-01" else "neutral")
    assert periods == set(range(1, 14))


@pytest.mark.parametrize("outside", ["2023-06-30", "2030-01-01"])
@pytest.mark.parametrize(
    ("trial", "dated_by"),
    [
        pytest.param(trial, name, id=trial.clause)
        for trial in TRIALS
        if trial.contract == EOM and trial.clause != "reversal"  # which is of the day of what it reverses
        for name in [next(n for n in ("initiated_on", "period_on") if n in trial.given.model_fields)]
    ],
)
def test_6_initiation_the_day_before_the_model_or_after_its_last_day_is_refused(
    trial: Any, dated_by: str, outside: str
) -> None:
    with pytest.raises(Refused, match=outside) as refused:
        answer(trial, {**trial.example, dated_by: outside})
    assert (refused.value.code, refused.value.field) == ("no_terms", dated_by)


@both(EXAMPLES, st.integers(-(10**12), 10**12), st.lists(st.integers(0, 10**12), min_size=1, max_size=40))
def test_7_the_parts_of_a_pooled_payment_sum_to_the_whole(total: int, weights: list[int]) -> None:
    parts = parted(total, weights)
    assert sum(parts) == (total if sum(weights) else 0)
    assert all(part * total >= 0 for part in parts)
    exact = [Decimal(total) * weight / (sum(weights) or 1) for weight in weights]
    assert all(abs(part - one) < 1 for part, one in zip(parts, exact, strict=True) if sum(weights))
