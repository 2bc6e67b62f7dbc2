"""What the benchmark of feeds says, and that it counts what it says."""

from __future__ import annotations

import pytest

from bench import feeds
from bench.feeds import Figures, Rate


def test_figures_say_what_they_are_of() -> None:
    rate = Rate(1_000, 2.0, 0.5)
    figures = Figures(rate, rate, rate, 1_000, 150_000_000, 100_000_000, 0.05, 200, 300)
    assert figures.as_json()["cursor"]["per_second"] == 500
    words = [" ".join(line.split()) for line in figures.told()]
    assert words[0] == "500 events/s by the clock, 2,000 of one core: one reader by cursor"
    assert words[3] == "150 MB resident in a gateway with 1,000 idle streams, 100 MB without"
    assert words[4] == "5.0% more time of the database for a reading under row-level security"
    assert words[5].startswith("300 ms from commit to taken") and words[5].endswith("200 ms alone")


@pytest.mark.long
async def test_every_event_is_read_and_sent() -> None:
    figures = await feeds.run(4_000, 1_000)
    assert (figures.cursor.events, figures.stream.events) == (4_000, 4_000)
    assert figures.webhooks.events >= 1_000
    assert figures.idle_bytes < 200_000_000
