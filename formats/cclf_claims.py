"""CCLF1 to 7, A and B: claims put together from the files of a submission, and fills of Part D.

See `formats.cclf` for what is taken from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import partial
from typing import Any

from pydantic import ValidationError

from contracts.events import InstitutionalClaimReceived, PharmacyClaimReceived, ProfessionalClaimReceived
from formats.cclf_layout import (
    SOURCE,
    Line,
    Told,
    bad,
    cents,
    day,
    fact,
    needed_day,
    number,
    pieces,
    refused,
    text,
    words,
)
from formats.cells import BadCell
from formats.cms_codes import PAID_BY_CARRIER, PAID_LINE, SETTINGS
from formats.icd9 import MAPPING, translated
from formats.reading import Place, Read, ReadFact, Reject

_ACTIONS = {"0": "original", "1": "void", "2": "adjustment"}
_ALNUM = re.compile(r"[A-Za-z0-9]{1,15}")
_FOUR = re.compile(r"[0-9]{4}")
_DRG = re.compile(r"[0-9]{3,4}")
_TWO = re.compile(r"[0-9]{2}")
_BILL = re.compile(r"[0-9A-Z]{3}")
_PROCEDURE = re.compile(r"[A-Z0-9]{3,7}")
_seven, _two = Told(partial(pieces, width=7)), Told(partial(pieces, width=2))
_from_on, _through_on = (Told(partial(needed_day, column=name)) for name in ("CLM_FROM_DT", "CLM_THRU_DT"))
_effective_on, _line_on = (Told(partial(day, column=name)) for name in ("CLM_EFCTV_DT", "CLM_LINE_FROM_DT"))
_paid, _allowed = (Told(partial(cents, column=name)) for name in ("CLM_LINE_CVRD_PD_AMT", "CLM_LINE_ALOWD_CHRG_AMT"))
_units = Told(partial(number, column="CLM_LINE_SRVC_UNIT_QTY"))
_PAYER = 10
"""The place of the primary payer among the cells of CCLF5 and CCLF6."""
_filled, _institutional, _billed = (
    model.__pydantic_validator__.validate_python
    for model in (PharmacyClaimReceived, InstitutionalClaimReceived, ProfessionalClaimReceived)
)


# Fills


def fill(line: Line) -> Iterator[Read]:
    """A drug event. CCLF says what the member paid, not what the plan did."""
    (claim_, mbi, ndc, filled_, qualifier, pharmacy_, dispensing, quantity, supply_, _, prescriber, member_paid, kind,
     effective_, prescription, number_) = line.cut()  # fmt: skip
    claim, pharmacy = text(claim_), text(pharmacy_)
    filled = needed_day(filled_, "CLM_LINE_FROM_DT")
    effective = day(effective_, "CLM_EFCTV_DT") or filled
    supply = number(supply_, "CLM_LINE_DAYS_SUPLY_QTY")
    action = _action(kind)
    key = (filled.isoformat(), words[qualifier], pharmacy, words[dispensing], text(prescription), text(number_))
    event = _filled(
        {
            "person": line.person(mbi),
            "claim_id": claim,
            "family": ":".join(key),
            "action": action,
            "effective_on": effective,
            "filled_on": filled,
            "ndc": words[ndc] or None,
            "quantity": number(quantity, "CLM_LINE_SRVC_UNIT_QTY"),
            "days_supply": int(supply) if supply is not None and supply == int(supply) else None,
            "pharmacy_npi": _npi(pharmacy_),
            "prescriber_npi": _npi(prescriber),
            "member_paid_cents": cents(member_paid, "CLM_LINE_BENE_PMT_AMT"),
        }
    )
    yield fact(event, line, "fill", claim, action, effective.isoformat())


def _action(cell: bytes) -> str:
    if found := _ACTIONS.get(text(cell) or "0"):
        return found
    raise bad("CLM_ADJSMT_TYPE_CD", "an adjustment type that CCLF does not have", "send 0, 1 or 2")


# Claims


def claims(lines: list[Line]) -> Iterable[Read]:
    """The claims of one claim id: a facility's, a physician's, a supplier's; and what belongs to none of them.

    `lines` stand by kind.
    """
    kind = lines[0].kind
    if kind in "56" and lines[-1].kind == kind:  # as most are
        if len(lines) == 1:
            return (_professional(lines, ()),)
        return [_professional(group, ()) for group in _professional_groups(lines)]
    return _claims(lines)


def _claims(lines: list[Line]) -> Iterator[Read]:
    by_kind: dict[str, list[Line]] = {}
    for line in lines:
        by_kind.setdefault(line.kind, []).append(line)
    details = [line for kind in "234A" for line in by_kind.get(kind, ())]
    enhancements: Sequence[Line] = by_kind.get("B", [])
    if headers := by_kind.get("1"):
        yield _facility(headers[0], [*_same(headers), *details], by_kind)
        for other in headers[1:]:
            if other.raw != headers[0].raw:
                yield _facility(other, [], by_kind)
    elif details:
        yield _orphans(details, "a record of a Part A claim whose header (CCLF1) is not there")
    for kind in "56":
        for group in _professional_groups(by_kind.get(kind, [])):
            yield _professional(group, enhancements)
            enhancements = ()
    if enhancements:
        yield _orphans(enhancements, "a record of a Part B claim whose lines (CCLF5, CCLF6) are not there")


def _same(headers: list[Line]) -> list[Line]:
    return [line for line in headers[1:] if line.raw == headers[0].raw]


def _orphans(lines: Sequence[Line], reason: str) -> Reject:
    error = BadCell("no_claim", "CUR_CLM_UNIQ_ID", reason, "send the files of one submission together")
    return refused(lines[0], error, lines)


def _facility(head: Line, more: list[Line], by_kind: dict[str, list[Line]]) -> Read:
    at = head
    try:
        (claim_, oscar, mbi, kind, start_, through_, facility, classification, first, denied, paid, payer, drg_, npi,
         adjustment, effective_, frequency, version, billing_oscar) = head.cut()  # fmt: skip
        claim, principal, drg = text(claim_), words[first], words[drg_]
        start, through = needed_day(start_, "CLM_FROM_DT"), needed_day(through_, "CLM_THRU_DT")
        effective, action = day(effective_, "CLM_EFCTV_DT") or through, _action(adjustment)
        provider = words[billing_oscar] or words[oscar]
        sent = dict.fromkeys((principal,) if principal else ())
        sent.update(dict.fromkeys(code for each in by_kind.get("4", ()) if (code := each.text("CLM_DGNS_CD"))))
        procedures = tuple(
            code for each in by_kind.get("3", ()) if _PROCEDURE.fullmatch(code := each.text("CLM_PRCDR_CD"))
        )
        revenue = by_kind.get("2", [])
        lines = []
        for at in revenue:
            lines.append(_revenue_line(at, start))
        at = head
        bill = words[facility] + words[classification] + words[frequency]
        event = _institutional(
            {
                "person": head.person(mbi),
                "claim_id": claim,
                "family": f"{provider}:{words[start_]}:{words[through_]}",
                "action": action,
                "effective_on": effective,
                "denied": bool(words[denied]),
                "primary_payer": _primary(words[payer]),
                "setting": SETTINGS.get(words[kind], "other"),
                "type_of_bill": bill if _BILL.fullmatch(bill) else None,
                "facility": provider if _ALNUM.fullmatch(provider) else None,
                "billing_npi": _npi(npi),
                "from_on": start,
                "through_on": through,
                "procedures": procedures,
                "drg": drg if _DRG.fullmatch(drg) else None,
                "paid_cents": cents(paid, "CLM_PMT_AMT"),
                "lines": tuple(lines),
                **_diagnoses(tuple(sent), words[version]),
            }
        )
    except BadCell as error:
        return refused(at, error, [head, *more])
    except ValidationError as error:
        return refused(_wrong(error, revenue) or head, error, [head, *more])
    return fact(event, head, "part-a", claim, action, effective.isoformat(), rows=1 + len(more))


def _wrong(error: ValidationError, lines: list[Line]) -> Line | None:
    """The record of the line that a claim is refused for; None when it is the claim itself."""
    where = error.errors(include_input=False, include_url=False, include_context=False)[0]["loc"]
    at = where[1] if len(where) > 1 and where[0] == "lines" else None
    return lines[at] if isinstance(at, int) and at < len(lines) else None


def _revenue_line(line: Line, start: date) -> dict[str, Any]:
    _, number_, _, on, center_, revenue_on, service, units, modifiers = line.cut()
    center = words[center_]
    return {
        "line": _line_numbers[number_],
        "service_on": day(revenue_on, "CLM_LINE_INSTNL_REV_CTR_DT") or day(on, "CLM_LINE_FROM_DT") or start,
        "code": words[service] or None,
        "modifiers": pieces(modifiers, 2),
        "revenue_center": center if _FOUR.fullmatch(center) else None,
        "units": number(units, "CLM_LINE_SRVC_UNIT_QTY"),
    }


def _primary(code: str) -> str | None:
    return code if len(code) == 1 and "A" <= code <= "Z" else None


def _diagnoses(sent: tuple[str, ...], version: str) -> dict[str, Any]:
    """ICD-9 is translated by the dated table, and kept as sent."""
    if version == "9":
        return {"diagnoses": translated(sent), "source_diagnoses": sent, "code_mapping": MAPPING}
    return {"diagnoses": sent}


def _professional_groups(lines: list[Line]) -> Iterable[list[Line]]:
    """Lines of one version of one claim."""
    versions = [line.version() for line in lines]
    if versions and versions.count(versions[0]) == len(versions):  # as most are
        return (lines,)
    groups: dict[tuple[bytes, ...], list[Line]] = {}
    for line, version in zip(lines, versions, strict=True):
        groups.setdefault(version, []).append(line)
    return groups.values()


def _professional(lines: list[Line], enhancements: Sequence[Line]) -> Read:
    at = head = lines[0]
    physician = head.kind == "5"
    one = _physician_line if physician else _supplier_line
    tin = npi = version = b""
    codes: tuple[str, ...] = ()
    try:
        cut = head.cut()
        if physician:
            (claim_, _, mbi, _, start_, through_, _, _, _, _, payer_, _, tin, _, denial, _, adjustment, effective_,
             control, _, _, _, firsts, version, others) = cut  # fmt: skip
            codes = _seven[firsts] + _seven[others]
        else:
            (claim_, _, mbi, _, start_, through_, _, _, _, _, payer_, npi, denial, _, adjustment, effective_,
             control, _) = cut  # fmt: skip
        claim, payer = text(claim_), words[payer_]
        start, through = _from_on[start_], _through_on[through_]
        effective, action = _effective_on[effective_] or through, _actions[adjustment]
        made = [one(cut, start)]
        for at in lines[1:]:
            made.append(one(cut := at.cut(), start))
            payer = payer or words[cut[_PAYER]]
        at = head
        family = text(control) or claim
        said: dict[str, Any] = {
            "person": head.person(mbi),
            "claim_id": claim,
            "family": family,
            "action": action,
            "effective_on": effective,
            "from_on": start,
            "through_on": through,
            "lines": tuple(made),
        }
        if version == b"9":
            said |= _diagnoses(tuple(dict.fromkeys(codes)), "9")
        else:
            said["diagnoses"] = codes if len(codes) < 2 else tuple(dict.fromkeys(codes))
        if words[denial] not in PAID_BY_CARRIER:
            said["denied"] = True
        if payer:
            said["primary_payer"] = _primary(payer)
        if not physician:
            said["supplier"] = "dmepos"
        if tax_number := words[tin]:
            said["billing_tin"] = tax_number
        if found := _npis[npi]:
            said["billing_npi"] = found
        event = _billed(said)
    except BadCell as error:
        return refused(at, error, [*lines, *enhancements])
    except ValidationError as error:
        return refused(_wrong(error, lines) or head, error, [*lines, *enhancements])
    key = f"{SOURCE}|{'part-b' if physician else 'dme'}|{claim}|{family}|{action}|{effective.isoformat()}"
    return ReadFact(event, Place(head.file, head.line), SOURCE, natural_key=key, rows=len(lines) + len(enhancements))


def _physician_line(cut: tuple[bytes, ...], start: date) -> dict[str, Any]:
    (_, number_, _, _, _, _, place, on, service, paid, _, main, tin, npi, _, indicator, _, _, _, allowed, units,
     modifiers, _, version, _) = cut  # fmt: skip
    made: dict[str, Any] = {
        "line": _line_numbers[number_],
        "service_on": _line_on[on] or start,
        "allowed_cents": _allowed[allowed],
        "paid_cents": _paid[paid],
        **_services[service, place, indicator],
    }
    if codes := _seven[main]:
        if version == b"9":
            made |= _diagnoses(codes, "9")
            made.pop("code_mapping", None)
        else:
            made["diagnoses"] = codes
    if codes := _two[modifiers]:
        made["modifiers"] = codes
    if found := _npis[npi]:
        made["rendering_npi"] = found
    if (counted := _units[units]) is not None:
        made["units"] = counted
    if tax_number := words[tin]:
        made["rendering_tin"] = tax_number
    return made


def _supplier_line(cut: tuple[bytes, ...], start: date) -> dict[str, Any]:
    _, number_, _, _, _, _, place, on, service, paid, _, _, _, indicator, _, _, _, allowed = cut
    return {
        "line": _line_numbers[number_],
        "service_on": _line_on[on] or start,
        "allowed_cents": _allowed[allowed],
        "paid_cents": _paid[paid],
        **_services[service, place, indicator],
    }


def _service(cells: tuple[bytes, bytes, bytes]) -> dict[str, Any]:
    """What was done where, and whether it was denied."""
    service, place, indicator = cells
    made: dict[str, Any] = {}
    if code := text(service):
        made["code"] = code
    if _TWO.fullmatch(at := place.decode("latin-1")):
        made["place_of_service"] = at
    if text(indicator) not in PAID_LINE:
        made["denied"] = True
    return made


def _npi(cell: bytes) -> str | None:
    plain = text(cell)
    return plain if _ALNUM.fullmatch(plain) else None


def _line_number(cell: bytes) -> int:
    return int(number(cell, "CLM_LINE_NUM") or 0)


_actions, _npis, _line_numbers, _services = Told(_action), Told(_npi), Told(_line_number), Told(_service)
