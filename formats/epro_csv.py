"""ePRO as a table of ours: a row for each answer, the rows of one response together.

Columns that must be there: `response_id`, `member_id`, `instrument`, `collected_on`, `item`, `value`. That may be:
`member_id_kind` (member_id), `instrument_version` (unknown), `status` (completed, amended, entered_in_error), `mode`,
`practice`, `code_system`, `kind` (`item`, or `score` where `item` names a score), `comment` (sealed). A cell of what
the response as a whole says may stand on its first row only. `value` is a number or a coded answer of the instrument;
an empty one was not answered. `member_id` is an identifier of the kind that `member_id_kind` says.

An amended response, or one entered in error, comes again with its `response_id`; the latter may have no answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from contracts.events import EproResponseReceived, Person
from contracts.events.base import Identifier
from contracts.events.health import EproItem, EproScore
from contracts.instruments.definition import Instrument, instruments, item_code, named
from formats.cells import BadCell, Row, needed_day, number
from formats.grouping import agreed, groups, read_groups, shared
from formats.questionnaires import refuse_unscorable
from formats.reading import Place, Read, ReadFact
from formats.table import UnknownLayout, header_of, told_columns

SOURCE = "epro-csv"
NEEDED = frozenset(("response_id", "member_id", "instrument", "collected_on", "item", "value"))
ALLOWED = NEEDED | {
    "member_id_kind", "instrument_version", "status", "mode", "practice", "code_system", "kind", "comment",
}  # fmt: skip
MOST_ROWS = 350
_SHARED = ("member_id", "member_id_kind", "instrument", "instrument_version", "collected_on", "mode", "practice")
_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,4})?")


def is_header(header: list[str]) -> bool:
    """Whether a table with this header is ours."""
    return set(header) >= NEEDED


def read(lines: Iterable[bytes], file: str) -> Iterator[Read]:
    """Facts and rejects of one file; a row is an answer."""
    source = iter(lines)
    header = header_of(next(source, b""))
    if not is_header(header):
        raise UnknownLayout(f"{file}: not an ePRO header; looked for the columns {', '.join(sorted(NEEDED))}")
    if unknown := set(header) - ALLOWED:
        raise UnknownLayout(f"{file}: ePRO columns that are not known: {told_columns(unknown)}")
    return read_groups(groups(source, file, header, _key, MOST_ROWS), file, _response)


def _key(row: Row) -> tuple[str, str]:
    return row["response_id"].strip(), row.get("status", "").strip()


def _response(group: list[Row], place: Place) -> Iterator[Read]:
    agreed(group, *_SHARED)
    head = {name: shared(group, name) for name in (*_SHARED, "response_id", "status", "comment")}
    if not head["response_id"]:
        raise BadCell("schema", "response_id", "a response without its id", "send the id by which it may be amended")
    if not head["member_id"]:
        raise BadCell("no_member_identifier", "member_id", "a row without a member identifier", "send member_id")
    on = needed_day(head, "collected_on")
    known = named(head["instrument"])
    instrument = instruments().get(known or "")
    items: list[EproItem] = []
    scores: list[EproScore] = []
    for row in group:
        code = row["item"].strip()
        if not code and not row["value"].strip():
            continue
        match row.get("kind", "").strip():
            case "" | "item":
                items.append(_item(row, code, instrument, known))
            case "score":
                scores.append(_score(row, code))
            case _:
                raise BadCell("schema", "kind", "neither item nor score", "send one of the two, or nothing")
    event = EproResponseReceived.model_validate(
        {
            "person": Person(identifier=_identifier(head)),
            "response_id": head["response_id"],
            "instrument": known or head["instrument"],
            "instrument_version": head["instrument_version"] or "unknown",
            "collected_on": on,
            "status": head["status"] or "completed",
            "mode": head["mode"] or "patient",
            "practice": head["practice"] or None,
            "items": tuple(items),
            "scores": tuple(scores),
            "comment": head["comment"] or None,
        }
    )
    refuse_unscorable(event, ["value"] * len(items))
    key = "|".join((SOURCE, event.response_id, event.status, on.isoformat()))
    yield ReadFact(event, place, SOURCE, natural_key=key, rows=len(group))


def _identifier(head: dict[str, str]) -> Identifier:
    return Identifier.model_validate({"kind": head["member_id_kind"] or "member_id", "value": head["member_id"]})


def _item(row: Row, code: str, instrument: Instrument | None, known: str | None) -> EproItem:
    """An answer, under the instrument's own code where it has one."""
    own = item_code(instrument, code) if instrument else None
    sent = row["value"].strip()
    value: Decimal | None = None
    if _NUMBER.fullmatch(sent):
        value = Decimal(sent)
    elif sent and instrument and own and (scored := instrument.answer(own, sent)) is not None:
        value = Decimal(scored)
    elif sent:
        remedy = "send a number, a coded answer of the instrument, or nothing"
        raise BadCell("unknown_answer", "value", "an answer that is none of the question's", remedy)
    system = instrument.code_system if instrument and own else None
    default = "PRO-CTCAE" if known == "pro-ctcae" else "unknown"
    fields: dict[str, Any] = {"code_system": row.get("code_system", "").strip() or system or default}
    return EproItem.model_validate(fields | {"code": own or code, "value": value})


def _score(row: Row, name: str) -> EproScore:
    value = number(row, "value")
    if value is None:
        raise BadCell("schema", "value", "a score without its value", "send a number, or leave the row out")
    return EproScore.model_validate({"name": name, "value": value})
