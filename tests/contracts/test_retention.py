"""Nobody is erased while a duty to keep runs; the day on which it ends is the first without it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import BadSheet
from contracts.retention import Retention, bundled_retention

LAST = date(2025, 3, 2)


def running(contract: str, on: date, last: date | None = LAST) -> list[str]:
    return [each.duty for each in bundled_retention().running(contract, last, on)]


@pytest.mark.parametrize(
    ("contract", "duty", "ends_on"),
    [
        ("medicare-eom", "innovation_center_records", date(2040, 6, 30)),  # 2030-06-30 + 10 years
        ("employer", "plan_records", date(2032, 10, 15)),  # 2025 is filed by 2026-10-15, + 6 years
        ("bcbs-sc", "insured_plan_records", date(2032, 10, 15)),
    ],
)
def test_a_duty_runs_through_the_day_before_its_end(contract: str, duty: str, ends_on: date) -> None:
    assert running(contract, ends_on.replace(day=ends_on.day - 1)) == [duty]
    assert running(contract, ends_on) == []
    (told,) = bundled_retention().running(contract, LAST, LAST)
    assert told.as_document()["ends_on"] == ends_on.isoformat() and told.source


def test_who_had_no_service_is_under_no_duty_and_other_contracts_have_their_own() -> None:
    assert running("medicare-eom", LAST, last=None) == []
    assert running("ocm", LAST) == []
    assert running("medicare-eom", LAST, last=date(2022, 12, 31)) == []  # before the model


def test_a_service_after_the_agreement_is_kept_as_long_from_its_own_day() -> None:
    (told,) = bundled_retention().running("medicare-eom", date(2032, 2, 29), LAST)
    assert told.ends_on == date(2042, 3, 1)


def duty(**changes: Any) -> dict[str, Any]:
    told = {"label": "l", "contracts": ["c"], "after": "last_service", "source": "s", "status": "open"}
    return {"d": told | {"values": [{"from": date(2000, 1, 1), "years": 3}]} | changes}


def test_the_years_are_those_in_force_on_the_day_of_the_last_service() -> None:
    values = [{"from": date(2000, 1, 1), "years": 3}, {"from": date(2025, 3, 2), "years": 5}]
    read = Retention(duty(values=values))
    assert [each.ends_on for each in read.running("c", LAST, LAST)] == [date(2030, 3, 2)]
    assert [each.ends_on for each in read.running("c", date(2025, 3, 1), LAST)] == [date(2028, 3, 1)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": ""}, "no label"),
        ({"status": "sure"}, "status"),
        ({"after": "never"}, "after"),
        ({"after": "agreement"}, "ends_on"),
    ],
)
def test_a_duty_that_is_none_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadSheet, match=f"'d'.*{said}"):
        Retention(duty(**changes))


def test_another_file_stands_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "none.toml").write_text("")
    assert Retention.read(tmp_path / "none.toml").running("medicare-eom", LAST, LAST) == []
