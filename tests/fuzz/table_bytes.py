"""What must hold of any bytes given to a reader of tables; `python -m tests.fuzz.table_bytes 120` looks for others.

The first byte chooses the table; below 128 its header stands before the rest, so that the rows do not end at the door.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator

from formats import epro_csv, leave_files, mapping, synthea
from formats.detect import lines_of
from formats.mapping import head_of
from formats.mapping_file import Mapping
from formats.reading import Read, ReadFact, Reject
from formats.table import UnknownLayout
from tests.fuzz.detecting import is_told
from tests.fuzz.looking import look

MAPPED = Mapping.load(
    {
        "name": "fuzz",
        "event": [
            {
                "type": "ProfessionalClaimReceived",
                "id": ["C"],
                "group_by": ["C"],
                "when": [{"column": "K", "not_in": ["S"]}],
                "person": {"identifier": {"kind": "member_id", "column": "M"}, "birth_date": {"column": "D"}},
                "fields": {
                    "claim_id": "C", "family": {"template": "{C}-{K}"}, "denied": {"column": "K", "empty": ["-"]},
                    "effective_on": {"column": "D", "date": "%m/%d/%y"}, "from_on": "D", "through_on": "D",
                    "diagnoses": {"column": "X", "split": "|", "remove": ".", "upper": True},
                },
                "lists": {
                    "lines": [
                        {
                            "line": {"ordinal": True}, "service_on": "D", "units": {"column": "N", "divide_by": "60"},
                            "paid_cents": {"column": "P", "money": "dollars", "remove": "$,"},
                            "ndc": {"column": "N", "pad": 11},
                        }
                    ]
                },
            },
            {
                "type": "HoursWorked",
                "when": [{"column": "K", "in": ["S"]}],
                "person": {"identifier": {"kind": "employee_id", "column": "M"}},
                "fields": {
                    "record_id": {"digest": ["C", "D"]}, "worked_on": "D", "hours": "N",
                    "pay_code": {"column": "X", "values": {"1": "worked"}, "otherwise": "leave"},
                },
            },
        ],
    },
    "fuzz",
)  # fmt: skip

Reader = Callable[[Iterable[bytes], str], Iterator[Read]]
TABLES: tuple[tuple[Reader, bytes], ...] = (
    (epro_csv.read, b"response_id,member_id,instrument,collected_on,status,kind,item,value,comment\n"),
    (leave_files.read, b"employee_id,record_id,work_date,hours,pay_code,version\n"),
    (
        leave_files.read,
        b"employee_id,claim_id,plan_type,claim_status,disability_date,close_reason,return_date,duty_status,"
        b"restrictions,diagnosis\n",
    ),
    (synthea.read, b"Id,START,STOP,PATIENT,ENCOUNTERCLASS,TOTAL_CLAIM_COST,PAYER_COVERAGE\n"),
    (synthea.read, b"ID,CLAIMID,CHARGEID,PATIENTID,TYPE,AMOUNT,METHOD,FROMDATE,UNITS,PAYMENTS\n"),
    (synthea.read, b"PATIENT,MEMBERID,START_DATE,END_DATE,PAYER\n"),
    (mapping.read, head_of(MAPPED) + b"K,C,M,D,X,N,P\n"),
)
_FIELD = re.compile(r"[A-Za-z0-9_./? ]{0,80}")


def whole(sent: bytes) -> tuple[Reader, bytes]:
    """The reader and the file that these bytes stand for."""
    reader, head = TABLES[(sent[0] if sent else 0) % len(TABLES)]
    return reader, (b"" if sent[:1] > b"\x7f" else head) + sent[1:]


def holds(sent: bytes) -> None:
    """Raises where a rule does not hold of these bytes."""
    reader, file = whole(sent)
    is_told(file)
    try:
        items = list(reader(lines_of(io.BytesIO(file)), "f"))
    except UnknownLayout:
        return
    lines = sum(1 for line in file.splitlines() if line.strip())
    assert sum(item.rows for item in items) <= lines, "more rows than lines"
    for item in items:
        if isinstance(item, Reject):
            assert _FIELD.fullmatch(item.place.field), f"a field that may be data: {len(item.place.field)} characters"
            assert item.rows >= 0
            assert item.reason
            assert item.remedy
        else:
            assert isinstance(item, ReadFact)
            item.event.model_dump_json()


if __name__ == "__main__":
    look("table_bytes", "tables", *sys.argv[1:])
