"""The page of metrics is written from their definitions."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from carepact import metric_pages
from contracts.metrics.catalogue import CATALOGUE

command = typer.Typer()
command.command()(metric_pages.main)


def test_the_page_is_that_of_the_catalogue() -> None:
    result = CliRunner().invoke(command, ["--check"])
    assert result.exit_code == 0, result.stderr


def test_every_metric_stands_on_it_with_its_version_and_its_first_day() -> None:
    page = metric_pages.page()
    for definition in CATALOGUE:
        assert f"### {definition.metric}: {definition.title}\n\n`{definition.name}` from {definition.from_on}" in page


def test_a_page_that_differs_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(metric_pages, "PAGE", tmp_path / "metrics.md")
    assert CliRunner().invoke(command, ["--check"]).exit_code == 1
    assert CliRunner().invoke(command, []).exit_code == 0
    assert CliRunner().invoke(command, ["--check"]).exit_code == 0
