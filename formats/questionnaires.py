"""FHIR QuestionnaireResponse, R4 and STU3, and Observations that are a score, as ePRO facts.

The instrument is told by the questionnaire's name or panel code, else by the items that are answered. An answer is a
number, a yes or no, a numeric text, a coded answer of the instrument's definition (`contracts/instruments`), a
PRO-CTCAE code that ends in its score (`proctcae-severity-3`), or a coding with an ordinal value. A total is taken as
valueInteger, valueDecimal, valueQuantity or a numeric valueString, as US Core sends it. Of an instrument we know, an
answer that is none of its answers, or outside its scale, is a reject: a safety question is never quietly lost. Of one
we do not know, items whose answers have a number are kept and the others left out.

What is declined, unknown or not applicable is an answer that is missing. A status of amended or entered-in-error takes
the place of what was sent before under the same id; in-progress and stopped responses are no surveys and are refused.
An Observation derived from a response says what the response says and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from contracts.events import EproResponseReceived
from contracts.events.health import EproItem, EproScore
from contracts.instruments import pro_ctcae, unscorable
from contracts.instruments.definition import Instrument, holding, instruments, item_code, mentioned, total_of
from formats.fhir_json import Json, bad, codings, day, fact_of, first, objects, person_of, string, tail
from formats.reading import Place, Read

_STATUS: Final = {"completed": "completed", "amended": "amended", "entered-in-error": "entered_in_error"}
_OBSERVED: Final = {"final": "completed", "amended": "amended", "corrected": "amended"} | {
    "entered-in-error": "entered_in_error"
}
_SOURCES: Final = {"RelatedPerson": "caregiver", "Patient": "patient"}
_LOINC: Final = re.compile(r"(?:^|/)([0-9]{1,7}-[0-9])$")
_CODE: Final = re.compile(r"[A-Za-z0-9._:/+-]{1,32}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,4})?")
_SCORED: Final = re.compile(r"proctcae-[a-z]+-([0-9])")
_ORDINAL: Final = ("ordinalValue", "itemWeight", "questionnaire-ordinalValue")
_DECLINED: Final = frozenset(
    ("asked-declined", "asked-unknown", "unknown", "not-asked", "not-applicable", "LA30122-8", "LA4489-6", "LA4720-4")
)
"""Codes of an answer that is missing, of HL7's data-absent-reason and of LOINC."""
_NO_ANSWER: Final = re.compile(r"(.*-)?(not-applicable|not-sexually-active|prefer-not-to-answer)", re.IGNORECASE)
_YES_NO: Final = {"LA33-6": 1, "LA32-8": 0, "Y": 1, "N": 0}
_FOUR: Final = Decimal("0.0001")
_MOST: Final = Decimal(10**9)


@dataclass(frozen=True, slots=True)
class _Asked:
    """An item that was answered: its linkId, its answers, and the JSON pointer to them."""

    link: str
    answers: list[Json]
    field: str


def response(body: Json, place: Place) -> Iterator[Read]:
    """The survey of a QuestionnaireResponse."""
    status = _STATUS.get(string(body.get("status")))
    if status is None:
        reason, remedy = "a response that is not completed", "send it when its status is completed, or amended"
        raise bad("/status", reason, remedy, "not_completed")
    number = string(body.get("id")) or string(first(body.get("identifier")).get("value"))
    if not number:
        raise bad("/id", "a response without an id", "send the id by which it may be amended later")
    on = day(body.get("authored"), "/authored")
    if on is None:
        raise bad("/authored", "a response without its day", "send authored", "no_date")
    asked = list(_asked(body, ""))
    name, version = _questionnaire(body)
    known = mentioned(name) or holding(frozenset(link for one in asked for link in _links(one.link)))
    items, scores = _answers(asked, known)
    event = EproResponseReceived.model_validate(
        {
            "person": person_of(body.get("subject"), "/subject"),
            "response_id": number,
            "instrument": known or (name if _CODE.fullmatch(name) else "unknown"),
            "instrument_version": version,
            "collected_on": on,
            "status": status,
            "mode": _mode(body),
            "items": items,
            "scores": scores,
        }
    )
    refuse_unscorable(event, [one.field for one in asked])
    yield fact_of(event, place, "response", number, status, on.isoformat())


def observation(body: Json, place: Place) -> Iterator[Read]:
    """A score that came by itself; nothing of an observation that is none, or that a response says already."""
    found = next((score for _, code in codings(body.get("code")) if (score := _score_of(code))), None)
    derived = any(
        "QuestionnaireResponse/" in string(each.get("reference")) for each in objects(body.get("derivedFrom"))
    )
    status = _OBSERVED.get(string(body.get("status")))
    if found is None or derived or status is None:
        return
    instrument, name = found
    value = _number(body, "/value")
    number = string(body.get("id"))
    if value is None:
        return
    if not number:
        raise bad("/id", "a score without an id", "send the id by which it may be amended later")
    on = day(body.get("effectiveDateTime"), "/effectiveDateTime") or day(body.get("issued"), "/issued")
    if on is None:
        raise bad("/effectiveDateTime", "a score without its day", "send effectiveDateTime", "no_date")
    event = EproResponseReceived.model_validate(
        {
            "person": person_of(body.get("subject"), "/subject"),
            "response_id": number,
            "instrument": instrument,
            "instrument_version": "unknown",
            "collected_on": on,
            "status": status,
            "mode": "unknown",
            "scores": (EproScore(name=name, value=value),),
        }
    )
    yield fact_of(event, place, "score", number, status, on.isoformat())


def refuse_unscorable(event: EproResponseReceived, fields: Iterable[str] = ()) -> None:
    """Refuse a response with an answer that its question cannot have, by name and place."""
    places = list(fields)
    for wrong in unscorable(event):
        field = places[wrong.index] if wrong.index < len(places) else "/items"
        raise bad(field, wrong.reason, "send the answer on the instrument's own scale", "out_of_scale")


def _score_of(code: str) -> tuple[str, str] | None:
    """The score that an observation's code is; a panel's value is its total."""
    if found := total_of(code):
        return found
    panel = next((each for each, one in instruments().items() if one.panel == code and one.total), None)
    total = instruments()[panel].total if panel else None
    return (panel, total.name) if panel and total else None


def _questionnaire(body: Json) -> tuple[str, str]:
    """The name and version of the questionnaire: a canonical in R4, a reference in STU3."""
    sent = body.get("questionnaire")
    canonical, _, version = string(first(sent).get("reference") if isinstance(sent, dict) else sent).partition("|")
    name = tail(canonical)
    return name, version if _CODE.fullmatch(version) else "unknown"


def _mode(body: Json) -> str:
    """Who answered: `source` says it, else the patient is taken to have."""
    reference = string(first(body.get("source")).get("reference"))
    if not reference:
        return "patient"
    return next((mode for kind, mode in _SOURCES.items() if f"{kind}/" in reference), "unknown")


def _asked(holder: Json, field: str) -> Iterator[_Asked]:
    """Every answered item, however deep; items below an answer come after it."""
    stack = [(holder, field)]
    while stack:
        at, where = stack.pop()
        below: list[tuple[Json, str]] = []
        if (answers := objects(at.get("answer"))) and where:
            yield _Asked(string(at.get("linkId")), answers, where)
            below += [(answer, f"{where}/answer/{i}") for i, answer in enumerate(answers)]
        below += [(item, f"{where}/item/{i}") for i, item in enumerate(objects(at.get("item")))]
        stack.extend(reversed(below))


def _links(link: str) -> tuple[str, ...]:
    """What a linkId may mean: a LOINC code at its end, or itself."""
    found = _LOINC.search(link)
    return (found[1], link) if found else (link,)


def _answers(asked: list[_Asked], known: str | None) -> tuple[tuple[EproItem, ...], tuple[EproScore, ...]]:
    """The items and scores of a response. `asked` is cut down to what became an item, in order."""
    instrument = instruments().get(known or "")
    items: list[EproItem] = []
    scores: list[EproScore] = []
    kept: list[_Asked] = []
    for one in asked:
        total = next((found for link in _links(one.link) if (found := total_of(link))), None)
        own = instrument.total if instrument else None
        if own and not total and tail(one.link.replace(".", "/")).lower() in ("score", "total"):
            total = known or "", own.name
        if total is not None:
            value = _number(one.answers[0], one.field)
            if value is not None:
                scores.append(EproScore(name=total[1], value=value))
            continue
        for item in _items(one, known, instrument):
            items.append(item)
            kept.append(one)
    asked[:] = kept
    return tuple(items), tuple(scores)


def _items(one: _Asked, known: str | None, instrument: Instrument | None) -> Iterator[EproItem]:
    """The item of an answered question; the highest of several answers."""
    if known == "pro-ctcae" and pro_ctcae.item_of(one.link):
        yield EproItem(code_system="PRO-CTCAE", code=one.link, value=_value(one, None, ""))
        return
    code = None if instrument is None else next((c for c in map(_of(instrument), _links(one.link)) if c), None)
    if instrument is not None and code is not None:
        yield EproItem(code_system=instrument.code_system, code=code, value=_value(one, instrument, code))
        return
    loinc = _LOINC.search(one.link)
    other = loinc[1] if loinc else one.link
    if not _CODE.fullmatch(other):
        return
    value = next((v for answer in one.answers if (v := _number(answer, one.field, strict=False)) is not None), None)
    if value is not None:
        yield EproItem(code_system="LOINC" if loinc else "linkId", code=other, value=value)


def _of(instrument: Instrument) -> Any:
    return lambda link: item_code(instrument, link)


def _value(one: _Asked, instrument: Instrument | None, code: str) -> Decimal | None:
    """The score of an answer to a question we know; None when it is missing."""
    found: list[Decimal] = []
    for answer in one.answers:
        coding = first(answer.get("valueCoding"))
        answered = string(coding.get("code"))
        if not coding:
            value = _number(answer, one.field)
        elif instrument is not None and (scored := instrument.answer(code, answered)) is not None:
            value = Decimal(scored)
        elif scored_code := _SCORED.fullmatch(answered):
            value = Decimal(scored_code[1])
        elif answered in _DECLINED or _NO_ANSWER.fullmatch(answered):
            value = None
        else:
            value = _ordinal(coding, one.field)
            if value is None:
                reason, remedy = (
                    "an answer that is none of the question's",
                    "send one of the instrument's coded answers",
                )
                raise bad(f"{one.field}/answer/0/valueCoding", reason, remedy, "unknown_answer")
        if value is not None:
            found.append(value)
    return max(found, default=None)


def _ordinal(coding: Json, field: str) -> Decimal | None:
    """The score that a coding itself has: yes is 1, no is 0, and a code of digits is its own score."""
    for extension in objects(coding.get("extension")):
        if tail(extension.get("url")) in _ORDINAL:
            return _exact(extension.get("valueDecimal"), field)
    code = string(coding.get("code"))
    if code in _YES_NO:
        return Decimal(_YES_NO[code])
    return Decimal(code) if re.fullmatch(r"[0-9]{1,3}", code) else None


def _number(answer: Json, field: str, *, strict: bool = True) -> Decimal | None:
    """The number of an answer, in whatever type it came; None when it has none."""
    for name in ("valueInteger", "valueDecimal"):
        if name in answer:
            return _exact(answer[name], f"{field}/{name}")
    if "valueBoolean" in answer:
        return Decimal(1) if answer["valueBoolean"] is True else Decimal(0)
    if "valueQuantity" in answer:
        return _exact(first(answer["valueQuantity"]).get("value"), f"{field}/valueQuantity")
    if "valueString" in answer:
        text = string(answer["valueString"])
        if _NUMBER.fullmatch(text):
            return Decimal(text)
        if strict and text:
            raise bad(f"{field}/valueString", "a score that is not a number", "send a number", "not_a_number")
        return None
    return _ordinal(first(answer.get("valueCoding")), field) if "valueCoding" in answer else None


def _exact(value: Any, field: str) -> Decimal | None:
    """A JSON number with at most four decimals."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise bad(field, "an answer that is not a number", "send a JSON number", "not_a_number")
    exact = Decimal(value)
    if not exact.is_finite() or abs(exact) > _MOST or exact != exact.quantize(_FOUR):
        raise bad(field, "a number out of bounds", "send a number that can be a score", "not_a_number")
    return exact
