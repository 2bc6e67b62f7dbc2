"""The days that a payer's clock has closed."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from carepact.calendar_command import passed_in, until_midnight
from streams.roster import Payer


def payer(zone: str) -> Payer:
    return Payer(name="p", title="P", contract="medicare-eom", time_zone=zone)


@pytest.mark.parametrize(
    ("zone", "instant", "passed"),
    [
        ("America/New_York", datetime(2026, 3, 8, 4, 59, tzinfo=UTC), date(2026, 3, 6)),
        ("America/New_York", datetime(2026, 3, 8, 5, 0, tzinfo=UTC), date(2026, 3, 7)),
        ("Pacific/Kiritimati", datetime(2026, 3, 8, 10, 0, tzinfo=UTC), date(2026, 3, 8)),
        ("UTC", datetime(2026, 1, 1, 0, 0, tzinfo=UTC), date(2025, 12, 31)),
    ],
)
def test_a_day_has_passed_when_the_payers_next_one_has_begun(zone: str, instant: datetime, passed: date) -> None:
    assert passed_in(payer(zone), instant) == passed


def test_the_day_of_the_change_to_summer_time_is_an_hour_shorter() -> None:
    begun = datetime(2026, 3, 8, 5, 0, tzinfo=UTC)
    assert until_midnight(payer("America/New_York"), begun) == 23 * 3600 + 1
