"""What was released to an employer, and a practice's settled quality, as FHIR (`formats.vbpr`)."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import orjson

from contracts.employer_steps import meaning
from contracts.errors import NoTermInForce
from contracts.roster import bundled_sheet
from contracts.terms import TermSheet
from formats.vbpr import Contract, Measured, bundle
from projections.practice_quality import Settled

FHIR = "application/fhir+json"
_LOWER = {"less": True, "more": False}


def of_employer(report: Mapping[str, Any], payer: str) -> bytes:
    """A released report's figures, by period."""
    held = report["contracts"][-1] if report["contracts"] else {"contract_id": "employer", "contract_version": "1"}
    contract = Contract(
        payer, report["employer_id"], report["employer"], held["contract_id"], held["contract_version"], report["as_of"]
    )
    periods = []
    for period in report["periods"]:
        measured = [one for on, one in _figures(report) if on == period["from"]]
        periods.append((period["from"], period["to"], measured))
    return _written(bundle(contract, periods))


def _figures(report: Mapping[str, Any]) -> Iterator[tuple[str, Measured]]:
    for figure in (figure for step in report["steps"] for figure in step["figures"]):
        for strata in figure["strata"]:
            for value in strata["values"]:
                hidden = value["withheld"] or {"numerator": None, "denominator": None}
                yield (
                    value["from"],
                    Measured(
                        figure["metric_id"],
                        figure["title"],
                        figure["definition"]["version"],
                        strata["stratum"],
                        (figure["total_unit"] or "cents") if value["unit"] in ("total", "cents") else value["unit"],
                        value["numerator"],
                        value["denominator"],
                        value["value"],
                        _interval(hidden["numerator"]),
                        _interval(hidden["denominator"]),
                        _LOWER.get(figure["better"]),
                    ),
                )


def _interval(bounds: list[int | None] | None) -> tuple[int | None, int | None] | None:
    return None if bounds is None else (bounds[0], bounds[1])


def of_practice(payer: str, practice: str, settled: Iterable[Settled]) -> bytes:
    """A practice's quality measures, by period, of the last run of each.

    Rates are of the group that is settled together, as on its statement; a measure without cases is left out.
    """
    periods, as_of, terms = [], "", ("", "")
    for one in settled:
        told = one.statement
        measured = list(_measured(told, _lower_is_better(one.contract, told["initiated_from"])))
        periods.append((told["initiated_from"], told["initiated_through"], measured))
        as_of, terms = max(as_of, told["due_on"]), (one.contract, told["terms"])
    return _written(bundle(Contract(payer, practice, f"Practice {practice}", *terms, as_of), periods))


def _lower_is_better(contract: str, on: str) -> Container[str]:
    try:
        return TermSheet(bundled_sheet(contract)[2]).on("quality_lower_is_better", on).value.split()
    except NoTermInForce:
        return ()


def _measured(told: Mapping[str, Any], lower: Container[str]) -> Iterator[Measured]:
    terms, group = told["terms"], told.get("group") or {}
    for one in group.get("quality", ()):
        rate, named = _fraction(one["rate"]), (one["measure"], one["measure"], terms)
        if one["denominator"]:
            counts = {"numerator": one["numerator"], "denominator": one["denominator"]}
            yield Measured(*named, value=rate, lower=one["measure"] in lower, **counts)
        elif rate is not None:
            yield Measured(*named, unit="percent", value=rate)
    if group.get("quality_score"):
        score = _fraction(group["quality_score"])
        yield Measured("aggregate-score", "Aggregate quality score", terms, unit="percent", value=score, lower=False)
    for one in (told.get("measured_over") or {}).get("quality", ()):
        if one["value"] is not None:
            yield Measured(one["metric"], meaning(one["metric"]).title, terms, unit="percent", value=one["value"])


def _fraction(percent: str | None) -> str | None:
    return None if percent is None else f"{Decimal(percent) / 100:.6f}"


def _written(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
