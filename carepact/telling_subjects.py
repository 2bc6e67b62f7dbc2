"""The access report of a person, as text for readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from contracts.units import money


def told_report(report: Mapping[str, Any]) -> Iterator[str]:
    """Line by line."""
    of = f"{report['payer']}/{report['plan']}" if report["plan"] else report["payer"]
    yield f"member {report['member']} of {of}" + (" (ERASED)" if report["erased"] else "")
    for token in report["tokens"][1:]:
        yield f"  the same person as {token}, which is retired"
    yield "held"
    for fact in report["facts"]:
        span = f"  {fact['first_on']} to {fact['last_on']}" if fact["first_on"] else ""
        yield f"  {fact['count']:>7,} {fact['type']}{span}"
    sealed, derived = report["sealed"], report["derived"]
    fields = ", ".join(sealed["fields"]) or "nothing"
    yield f"  sealed in {sealed['facts']:,} of them: {fields}; {sealed['destroyed']:,} open no more"
    for person in sealed.get("persons", ()):
        yield "  " + ", ".join(f"{name}: {_said(said)}" for name, said in person.items() if said is not None)
    for name, said in sealed.get("said", {}).items():
        yield f"  {name}: {'; '.join(map(str, said))}"
    for reject in report["rejects"]:
        yield f"  named in reject {reject['reject_id']} ({reject['code']})"
    cents = money(abs(derived["paid_cents"]))
    yield f"  computed from them: {derived['episodes']} episodes, {derived['payments']} payments of ${cents}"
    yield "read by"
    for read in report["reads"]:
        whose = "many members'" if read["subject"] == "-" else "this member's"
        yield f"  {read['at']}  {read['by']}: {whose} {read['what'].replace('_', ' ')}, {read['purpose']}"
    yield "disclosed"
    for each in report["disclosed"]:
        yield f"  {each['events']:,} {each['what']}, to {each['to']}, {each['first_at']} to {each['last_at']}"
    for each in report["erasures"]:
        yield f"erasure {each['decision']} {each['at']} by {each['by']}"
    for duty in report["duties"]:
        yield f"not to be erased before {duty['ends_on']}: {duty['label']} ({duty['source']}; {duty['status']})"
    if not report["duties"] and not report["erased"]:
        yield "no duty to keep runs: it may be erased (`carepact subject erase`)"


def _said(said: Any) -> str:
    return f"{said['kind']} {said['value']}" if isinstance(said, dict) and "kind" in said else str(said)
