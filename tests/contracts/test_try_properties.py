"""What holds for every figure a clause may be given, and that payments explain themselves to the calculator."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import strategies as st

from carepact.generate import PAYERS, write
from contracts.disclosure import is_small, suppress
from contracts.events import DayClosed
from contracts.given_back import tried
from contracts.reads import terms_known, terms_needed
from contracts.recoupment_risk import KIND as AT_RISK
from contracts.return_to_work import incidence
from contracts.roster import SHEETS, bundled_sheet
from contracts.terms import DatedValue, TermSheet
from contracts.trial import TRIALS, Refused, answer, find, read_json
from tests.contracts.test_properties import both
from tests.contracts.test_try import cases, written
from tests.contracts.tried_again import tried_again
from tests.oracle.core import Core

EOM = "medicare-eom"
days = st.dates(date(2023, 7, 1), date(2029, 12, 31)).map(date.isoformat)
money = st.integers(0, 2_000_000_000).map(lambda cents: str(Decimal(cents) / 100))
score = st.integers(0, 10_000).map(lambda hundredths: str(Decimal(hundredths) / 100))
# --- strictness ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trial", TRIALS, ids=lambda t: f"{t.contract} {t.clause}")
def test_each_given_is_needed_and_checked_and_never_repeated(trial: Any) -> None:
    assert "lines" in answer(trial, trial.example)
    for name, says, needed in trial.givens():
        assert says
        if needed:
            with pytest.raises(Refused) as refused:
                answer(trial, {key: value for key, value in trial.example.items() if key != name})
            assert (refused.value.code, refused.value.field) == ("missing", name)
        junk: Any
        for junk in ("SECRET-7", [], {}, True, float("nan"), "1_000", "\u0661", "0x10", " 1", "1e400", "9" * 200):
            if isinstance(trial.example.get(name), str | bool) and isinstance(junk, str | bool):
                continue
            try:
                answer(trial, {**trial.example, name: junk})
            except Refused as error:
                assert error.field
                assert "SECRET" not in json.dumps(error.document())
    with pytest.raises(Refused) as refused:
        answer(trial, {**trial.example, "surplus": 1})
    assert (refused.value.code, refused.value.field) == ("unknown_field", "surplus")


@pytest.mark.parametrize(
    "junk",
    [
        "SECRET-7",
        "",
        "1_000",
        "\u0661\u0662",
        "0x10",
        " 1",
        "1 ",
        "--1",
        "1e",
        ".",
        "nan",
        "inf",
        True,
        [],
        {},
        float("nan"),
    ],
)
def test_money_is_a_decimal_string_or_a_whole_number(junk: Any) -> None:
    with pytest.raises(Refused) as refused:
        answer(find(EOM, "standardise"), {"standardised": junk})
    assert (refused.value.code, refused.value.field) == ("not_a_number", "standardised")


@pytest.mark.parametrize("text", ["1e16", "-1", "1e-30", "9" * 100, "1e999999999999999999999999"])
def test_money_has_bounds(text: str) -> None:
    with pytest.raises(Refused) as refused:
        answer(find(EOM, "standardise"), {"standardised": text})
    assert refused.value.code == "out_of_range"


def test_json_is_read_exactly_and_strictly() -> None:
    assert read_json('{"a": 0.1000, "b": 7}') == {"a": Decimal("0.1000"), "b": 7}
    for text in ("{", '{"a": 1, "a": 2}', "[" * 100_000):
        with pytest.raises(ValueError):
            read_json(text)


# --- small cells -----------------------------------------------------------------------------------------------------


def tables(total: int, cells: int) -> Any:
    """Every way to put so many people into so many cells."""
    if cells == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in tables(total - first, cells - 1):
            yield (first, *rest)


def feasible(released: dict[str, int | None], small: set[str], total: int) -> dict[str, set[int]]:
    """What each hidden cell could be, for one who sees the release and knows which cells are 1 to 10."""
    hidden = [name for name, count in released.items() if count is None]
    rest = total - sum(count for count in released.values() if count is not None)
    options = {name: range(1, 11) if name in small else range(rest + 1) for name in hidden}
    found: dict[str, set[int]] = {name: set() for name in hidden}
    for values in itertools.product(*(options[name] for name in hidden[:-1])):
        last = rest - sum(values)
        if hidden and last in options[hidden[-1]]:
            for name, value in zip(hidden, (*values, last), strict=True):
                found[name].add(value)
    return found


@pytest.mark.parametrize(("cells", "most"), [(1, 60), (2, 60), (3, 34)])
def test_no_small_cell_can_be_worked_out_and_no_more_is_hidden_than_that_needs(cells: int, most: int) -> None:
    for total in range(most):
        for counts in tables(total, cells):
            table = dict(zip("abc", counts, strict=False))
            released = suppress(total, table)
            hidden = {name for name, count in released.cells.items() if count is None}
            small = {name for name, count in table.items() if is_small(count)}
            primary = (small | {n for n, c in table.items() if is_small(total - c)}) | (
                {n for n, c in table.items() if c in (0, total)} if total < 30 else set()
            )
            assert primary <= hidden
            assert len(hidden - primary) == (1 if len(primary) == 1 and cells > 1 else 0)
            assert released.total in (None, total)
            assert released.total is None or not is_small(total)
            if hidden:
                widths = [max(v) - min(v) if v else 0 for v in feasible(released.cells, small, total).values()]
                assert (min(widths) >= 5) or released.total is None
                assert released.total is not None or is_small(total) or min(widths) < 5
            else:
                assert released.total == (None if is_small(total) else total)


@both(300, st.lists(st.integers(0, 60), min_size=4, max_size=6), st.integers(0, 40))
def test_hiding_is_least_in_wider_tables(counts: list[int], beyond: int) -> None:
    table = {f"c{i}": count for i, count in enumerate(counts)}
    total = sum(counts)
    whole = total + beyond
    released = suppress(total, table, whole)
    must = {n for n, c in table.items() if is_small(c) or is_small(whole - c) or (whole < 30 and c in (0, whole))}
    extra = {n for n, c in released.cells.items() if c is None} - must
    assert len(extra) == (1 if len(must) == 1 else 0)
    for name in extra:
        others = [count for other, count in table.items() if other not in must]
        assert table[name] == min((c for c in others if c), default=0)
    assert all(count in (None, table[name]) for name, count in released.cells.items())


# --- payments, and what is read --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reads() -> dict[str, set[str]]:
    """The terms that were asked for, by contract."""
    return {contract: set() for contract in (*SHEETS, "claims")}


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory, reads: dict[str, set[str]]) -> dict[str, Core]:
    """A generated population, folded in memory while every term asked for is noted."""
    out = tmp_path_factory.mktemp("population")
    write(out, 300, seed=11)
    cores = {}
    with pytest.MonkeyPatch.context() as patch:
        noting(patch, reads)
        for payer in PAYERS:
            core = cores[payer] = Core(payer)
            core.publish(out / "practices.ndjson")
            core.publish(out / f"{payer}.ndjson")
            core.close(DayClosed(through_on=date(2025, 6, 30)))
    return cores


def noting(patch: pytest.MonkeyPatch, reads: dict[str, set[str]]) -> None:
    """Note every term a sheet is asked for."""
    asked = TermSheet.on

    def on(self: TermSheet, term: str, day: str) -> DatedValue:
        reads[self.contract].add(term)
        return asked(self, term, day)

    patch.setattr(TermSheet, "on", on)


def test_what_a_payment_says_of_itself_gives_the_same_cents(folded: dict[str, Core]) -> None:
    """Each month, fee and bonus, and what takes one back, tried on nothing but what its explanation says."""
    kinds: Counter[str] = Counter()
    for payer, core in folded.items():
        for payment in core.payments:
            back = tried(json.loads(json.dumps(payment.event)))
            if payment.kind == AT_RISK:
                assert back is None
                continue
            lines, result = payment.event["lines"], tried_again(back, payment.amount_cents)
            for key in ("amount_cents", "clause", "label"):
                assert [line[key] for line in result["lines"]] == [line[key] for line in lines]
            kinds[f"{payer} {payment.kind} {len(lines)}{' back' if payment.reverses else ''}"] += 1
    forth = {kind: count for kind, count in kinds.items() if not kind.endswith("back")}
    assert set(forth) == {
        "medicare MEOS 1", "medicare MEOS 2", "bcbs-sc CARE_FEE 1", "employers CARE_FEE 1", "employers RTW_BONUS 1"
    }  # fmt: skip
    assert min(forth.values()) >= 5
    assert kinds["medicare MEOS 1 back"] and kinds["medicare MEOS 2 back"]


def test_a_sheet_holds_what_its_clauses_read_and_nothing_else(
    folded: dict[str, Core], reads: dict[str, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `contract lint` goes by is what the fold and the cases were seen to read."""
    assert folded
    noting(monkeypatch, reads)
    for case in cases():
        contract, content = case.values
        given_ = content["given"] if isinstance(content["given"], str) else written(content["given"])
        try:
            answer(find(contract, content["clause"]), read_json(given_))
        except Refused:
            continue
    for contract in SHEETS:
        held = bundled_sheet(contract)[2]["terms"].keys()
        assert reads[contract] <= terms_known(contract)
        assert terms_needed(contract) <= held <= terms_known(contract)
        tried = {name for trial in TRIALS if trial.contract == contract for name in trial.reads}
        assert tried <= reads[contract]


@both(
    300,
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from([0, 1, 2, 3])), min_size=1, max_size=30),
    st.integers(0, 70),
)
def test_return_to_work_by_its_definition(observations: list[tuple[int, int]], weeks: int) -> None:
    """The estimator written out as its formula, week by week, in exact fractions."""
    surviving, returned, absent = Fraction(1), Fraction(0), Fraction(0)
    levels = []
    for week in range(71):
        at_risk = [cause for when, cause in observations if when >= week]
        causes = [cause for when, cause in observations if when == week and cause]
        if causes:
            returned += surviving * Fraction(causes.count(1), len(at_risk))
            surviving *= 1 - Fraction(len(causes), len(at_risk))
        levels.append(returned)
        absent += 1 - returned if week < weeks else 0
    found = incidence(observations)
    assert [found.at(week) for week in range(71)] == levels
    assert found.restricted_mean(weeks) == absent
    assert found.median() == next((week for week, level in enumerate(levels) if level >= Fraction(1, 2)), None)
    assert 0 <= returned <= 1
