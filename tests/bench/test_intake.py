"""What the intake benchmark says, and that its way over HTTP measures what it says."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from bench import files, over_http
from bench.command import app
from bench.intake import FIGURES, Figure


def test_a_figure_says_its_ratio_and_what_it_is_beside() -> None:
    figure = Figure("NDJSON", "events", 10_000, "a plain route", 20_000, "a note")
    assert figure.as_json()["ratio"] == 0.5
    words = " ".join(figure.told().split())
    assert words == "0.5 x 10,000 events/s of one core: NDJSON; a plain route: 20,000 (a note)"


def test_an_unknown_figure_is_refused_with_those_there_are() -> None:
    answer = CliRunner().invoke(app, ["intake", "--only", "morse"])
    assert answer.exit_code == 2
    assert all(name in answer.stderr for name in FIGURES)


@pytest.mark.long
async def test_events_over_http_are_all_accepted_by_both_servers() -> None:
    ours, plain = await over_http.run(4_000, 100)
    assert ours.events == plain.events >= 3_900
    assert ours.per_core > 0 and ours.per_second > 0


def test_files_are_read_whole_by_our_readers_and_by_plain_ones() -> None:
    for ours, plain in (
        (files.read_cclf, files.slice_cclf),
        (files.read_fhir, files.validate_fhir),
        (files.read_csv, files.validate_csv),
    ):
        one, other = ours(40), plain(40)
        assert one.records >= other.records > 0
        assert one.facts > 0
        assert one.per_second > 0
