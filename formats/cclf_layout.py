"""The columns of CCLF records (Information Packet v36, layouts up to v38), and one record read by them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import TypeVar

from msgspec import Struct
from pydantic import ValidationError

from contracts.events import Event, Person
from contracts.events.base import Identifier
from formats import cells
from formats.cells import BadCell
from formats.reading import Place, ReadFact, Reject
from formats.schema_errors import first_error
from formats.spill import Kept

SOURCE = "cclf"

K = TypeVar("K")
V = TypeVar("V")

LENGTHS = {
    "1": (437, 292), "2": (199, 179), "3": (114, 94), "4": (112, 92), "5": (388, 363), "6": (247, 227), "7": (195,),
    "8": (549,), "9": (55,), "A": (324, 101), "B": (128, 93),
}  # fmt: skip
"""Characters of a record, in the present layout and in earlier ones that are its beginning."""
BY_LENGTH = {length: kind for kind, lengths in LENGTHS.items() for length in lengths}

COLUMNS: dict[str, dict[str, tuple[int, int]]] = {
    "1": {
        "CUR_CLM_UNIQ_ID": (1, 13), "PRVDR_OSCAR_NUM": (14, 19), "BENE_MBI_ID": (20, 30), "CLM_TYPE_CD": (42, 43),
        "CLM_FROM_DT": (44, 53), "CLM_THRU_DT": (54, 63), "CLM_BILL_FAC_TYPE_CD": (64, 64),
        "CLM_BILL_CLSFCTN_CD": (65, 65), "PRNCPL_DGNS_CD": (66, 72), "CLM_MDCR_NPMT_RSN_CD": (80, 81),
        "CLM_PMT_AMT": (82, 98), "CLM_NCH_PRMRY_PYR_CD": (99, 99), "DGNS_DRG_CD": (104, 107),
        "FAC_PRVDR_NPI_NUM": (109, 118), "CLM_ADJSMT_TYPE_CD": (149, 150), "CLM_EFCTV_DT": (151, 160),
        "CLM_BILL_FREQ_CD": (186, 186), "DGNS_PRCDR_ICD_IND": (188, 188), "CLM_BLG_PRVDR_OSCAR_NUM": (293, 312),
    },
    "2": {
        "CUR_CLM_UNIQ_ID": (1, 13), "CLM_LINE_NUM": (14, 23), "BENE_MBI_ID": (24, 34), "CLM_LINE_FROM_DT": (48, 57),
        "CLM_LINE_PROD_REV_CTR_CD": (68, 71), "CLM_LINE_INSTNL_REV_CTR_DT": (72, 81), "CLM_LINE_HCPCS_CD": (82, 86),
        "CLM_LINE_SRVC_UNIT_QTY": (124, 147), "HCPCS_MDFR_CD": (165, 174),
    },
    "3": {"CUR_CLM_UNIQ_ID": (1, 13), "BENE_MBI_ID": (14, 24), "CLM_PRCDR_CD": (40, 46)},
    "4": {"CUR_CLM_UNIQ_ID": (1, 13), "BENE_MBI_ID": (14, 24), "CLM_DGNS_CD": (41, 47)},
    "5": {
        "CUR_CLM_UNIQ_ID": (1, 13), "CLM_LINE_NUM": (14, 23), "BENE_MBI_ID": (24, 34), "CLM_TYPE_CD": (46, 47),
        "CLM_FROM_DT": (48, 57), "CLM_THRU_DT": (58, 67), "CLM_POS_CD": (76, 77), "CLM_LINE_FROM_DT": (78, 87),
        "CLM_LINE_HCPCS_CD": (98, 102), "CLM_LINE_CVRD_PD_AMT": (103, 117), "CLM_LINE_PRMRY_PYR_CD": (118, 118),
        "CLM_LINE_DGNS_CD": (119, 125), "CLM_RNDRG_PRVDR_TAX_NUM": (126, 135), "RNDRG_PRVDR_NPI_NUM": (136, 145),
        "CLM_CARR_PMT_DNL_CD": (146, 147), "CLM_PRCSG_IND_CD": (148, 149), "CLM_ADJSMT_TYPE_CD": (150, 151),
        "CLM_EFCTV_DT": (152, 161), "CLM_CNTL_NUM": (172, 211), "CLM_LINE_ALOWD_CHRG_AMT": (223, 239),
        "CLM_LINE_SRVC_UNIT_QTY": (240, 263), "HCPCS_MDFR_CD": (264, 273), "CLM_DGNS_1_8_CD": (276, 331),
        "DGNS_PRCDR_ICD_IND": (332, 332), "CLM_DGNS_9_12_CD": (333, 360),
    },
    "6": {
        "CUR_CLM_UNIQ_ID": (1, 13), "CLM_LINE_NUM": (14, 23), "BENE_MBI_ID": (24, 34), "CLM_TYPE_CD": (46, 47),
        "CLM_FROM_DT": (48, 57), "CLM_THRU_DT": (58, 67), "CLM_POS_CD": (69, 70), "CLM_LINE_FROM_DT": (71, 80),
        "CLM_LINE_HCPCS_CD": (91, 95), "CLM_LINE_CVRD_PD_AMT": (96, 110), "CLM_PRMRY_PYR_CD": (111, 111),
        "PAYTO_PRVDR_NPI_NUM": (112, 121), "CLM_CARR_PMT_DNL_CD": (132, 133), "CLM_PRCSG_IND_CD": (134, 135),
        "CLM_ADJSMT_TYPE_CD": (136, 137), "CLM_EFCTV_DT": (138, 147), "CLM_CNTL_NUM": (158, 197),
        "CLM_LINE_ALOWD_CHRG_AMT": (209, 225),
    },
    "7": {
        "CUR_CLM_UNIQ_ID": (1, 13), "BENE_MBI_ID": (14, 24), "CLM_LINE_NDC_CD": (36, 46), "CLM_LINE_FROM_DT": (49, 58),
        "PRVDR_SRVC_ID_QLFYR_CD": (59, 60), "CLM_SRVC_PRVDR_GNRC_ID_NUM": (61, 80), "CLM_DSPNSNG_STUS_CD": (81, 81),
        "CLM_LINE_SRVC_UNIT_QTY": (83, 106), "CLM_LINE_DAYS_SUPLY_QTY": (107, 115),
        "PRVDR_PRSBNG_ID_QLFYR_CD": (116, 117), "CLM_PRSBNG_PRVDR_GNRC_ID_NUM": (118, 137),
        "CLM_LINE_BENE_PMT_AMT": (138, 150), "CLM_ADJSMT_TYPE_CD": (151, 152), "CLM_EFCTV_DT": (153, 162),
        "CLM_LINE_RX_SRVC_RFRNC_NUM": (173, 184), "CLM_LINE_RX_FILL_NUM": (185, 193),
    },
    "8": {
        "BENE_MBI_ID": (1, 11), "BENE_ZIP_CD": (28, 32), "BENE_DOB": (33, 42), "BENE_SEX_CD": (43, 43),
        "BENE_MDCR_STUS_CD": (48, 49), "BENE_DUAL_STUS_CD": (50, 51), "BENE_DEATH_DT": (52, 61),
        "BENE_RNG_BGN_DT": (62, 71), "BENE_RNG_END_DT": (72, 81), "BENE_1ST_NAME": (82, 111),
        "BENE_LAST_NAME": (127, 166), "BENE_ENTLMT_BUYIN_IND": (168, 168), "BENE_PART_A_ENRLMT_BGN_DT": (169, 178),
        "BENE_PART_B_ENRLMT_BGN_DT": (179, 188), "BENE_LINE_1_ADR": (189, 233), "GEO_USPS_STATE_CD": (539, 540),
        "GEO_ZIP5_CD": (541, 545),
    },
    "9": {"HICN_MBI_XREF_IND": (1, 1), "CRNT_NUM": (2, 12), "PRVS_NUM": (13, 23), "PRVS_ID_EFCTV_DT": (24, 33)},
    "A": {"CUR_CLM_UNIQ_ID": (1, 13)},
    "B": {"CUR_CLM_UNIQ_ID": (1, 13)},
}  # fmt: skip
"""First and last column of what is read, from 1; modifiers and diagnoses stand side by side and are read as one."""
_SLICES = {
    kind: {name: slice(first - 1, last) for name, (first, last) in columns.items()} for kind, columns in COLUMNS.items()
}


def _packed(columns: dict[str, slice]) -> struct.Struct:
    """What cuts the columns out of a record of full width."""
    form, at = "", 0
    for within in sorted(columns.values(), key=attrgetter("start")):
        form += f"{within.start - at}x{within.stop - within.start}s"
        at = within.stop
    return struct.Struct(form)


_CUT = {kind: _packed(columns).unpack_from for kind, columns in _SLICES.items()}
_VERSION: dict[str, Callable[[bytes], tuple[bytes, ...]]] = {
    kind: itemgetter(
        columns["CLM_CNTL_NUM"],
        columns["BENE_MBI_ID"],
        slice(columns["CLM_ADJSMT_TYPE_CD"].start, columns["CLM_EFCTV_DT"].stop),  # they stand side by side
    )
    for kind, columns in _SLICES.items()
    if kind in "56"
}
_NO_DAY = (date(1000, 1, 1), date(9999, 12, 31))
_DAY = len("2025-01-31")
_PLAIN = re.compile(r"-?[0-9]{1,10}\.[0-9]{2}")


def bad(column: str, reason: str, remedy: str = "send the record as the layout has it") -> BadCell:
    """A field that says what its layout does not have."""
    return BadCell("schema", column, reason, remedy)


class Line(Struct, gc=False):
    """A record by its columns. A record may end early, as trailing blanks do; it may not end within an amount."""

    kind: str
    file: str
    line: int
    raw: bytes
    present: dict[str, str]
    """Former identifiers of the submission, and the newest of each."""

    @classmethod
    def of(cls, kept: Kept, present: dict[str, str]) -> Line:
        """A record that was kept."""
        return cls(kept.kind, kept.file, kept.line, kept.raw, present)

    @property
    def place(self) -> Place:
        """Where it stands."""
        return Place(self.file, self.line)

    def cut(self) -> tuple[bytes, ...]:
        """What stands in each of the columns of its kind, in the order of `COLUMNS`."""
        raw = self.raw
        return _CUT[self.kind](raw if len(raw) >= LENGTHS[self.kind][0] else self._whole())

    def version(self) -> tuple[bytes, ...]:
        """What the lines of one version of a professional claim share."""
        return _VERSION[self.kind](self.raw)

    def _whole(self) -> bytes:
        """The record in full width. A day that it breaks off in is empty."""
        raw = self.raw
        for column, within in _SLICES[self.kind].items():
            if within.start < len(raw) < within.stop and text(raw[within]):
                if column.endswith(("_AMT", "_QTY")) or column == "CLM_LINE_NUM":
                    raise bad(column, "a record that ends within an amount")
                if column.endswith(("_DT", "_DOB")):
                    raw = raw[: within.start]
        return raw.ljust(LENGTHS[self.kind][0])

    def text(self, column: str) -> str:
        """What stands in one column, without outer blanks."""
        return text(self.raw[_SLICES[self.kind][column]])

    def person(self, sent: bytes) -> Person:
        """The member, by their present identifier."""
        if not (mbi := words[sent]):
            raise BadCell("no_member_identifier", "BENE_MBI_ID", "a record without a member identifier", "send the MBI")
        return known(self.present.get(mbi, mbi))

    def as_kept(self) -> bytes:
        """The record in full width with the present identifier, so that it can be read by itself."""
        whole = self.raw.ljust(LENGTHS[self.kind][0])
        if (at := _SLICES[self.kind].get("BENE_MBI_ID")) and (new := self.present.get(self.text("BENE_MBI_ID"))):
            whole = whole[: at.start] + new.encode("latin-1").ljust(11) + whole[at.stop :]
        return whole + b"\n"


@lru_cache(maxsize=20_000)
def known(mbi: str) -> Person:
    """A person of whom no more than the identifier is said."""
    return Person(identifier=Identifier(kind="mbi", value=mbi))


def fact(event: Event, line: Line, *key: str, rows: int = 1, formerly: tuple[Identifier, ...] = ()) -> ReadFact:
    """A fact of a record, named in CMS's terms."""
    return ReadFact(event, line.place, SOURCE, natural_key="|".join((SOURCE, *key)), rows=rows, formerly=formerly)


def refused(
    line: Line, error: BadCell | ValidationError, group: Iterable[Line] = (), column: str | None = None
) -> Reject:
    """The reject of a record, and of those that stand or fall with it."""
    lines = list(group) or [line]
    raw = b"".join(each.as_kept() for each in lines)
    if isinstance(error, BadCell):
        code, field, reason, remedy = error.code, error.column, error.reason, error.remedy
    else:
        found = first_error(error)
        code, field, reason, remedy = found.code, column or found.field, found.reason, found.remedy
    place = Place(line.file, line.line, field)
    return Reject(place, code, reason, remedy, raw, len(lines), format=SOURCE)


# Cells, as they were cut. What is malformed raises `BadCell` with its column.


def text(cell: bytes) -> str:
    """What it says, without outer blanks."""
    return cell.decode("latin-1").strip()


class Told(dict[K, V]):
    """What the cells of a column say, by the cell, or of several columns, by their cells: most come again.

    To be asked by subscript, which costs a third of a call. When it is full it begins anew.
    """

    def __init__(self, read: Callable[[K], V], most: int = 50_000) -> None:
        super().__init__()
        self._read, self._most = read, most

    def __missing__(self, cell: K) -> V:
        """Read it, and keep what it says."""
        if len(self) >= self._most:
            self.clear()
        found = self[cell] = self._read(cell)
        return found


words = Told(text)


def name(cell: bytes) -> str | None:
    """Text that may hold letters beyond ASCII."""
    return text(cell).encode("latin-1").decode("utf-8", "replace") or None


@lru_cache(maxsize=50_000)
def day(cell: bytes, column: str) -> date | None:
    """A day; None when empty or one of the two that stand for none."""
    if not (plain := text(cell)):
        return None
    try:
        if len(plain) != _DAY:
            raise ValueError
        found = date.fromisoformat(plain)
    except ValueError:
        raise BadCell("not_a_date", column, "a date that is not a date", "send an existing day as YYYY-MM-DD") from None
    return None if found in _NO_DAY else found


@lru_cache(maxsize=50_000)
def needed_day(cell: bytes, column: str) -> date:
    """A day that must be there."""
    if (found := day(cell, column)) is None:
        raise BadCell("no_date", column, "a record without its date", "send the day")
    return found


@lru_cache(maxsize=50_000)
def cents(cell: bytes, column: str) -> int:
    """An amount as cents; 0 when empty."""
    plain = text(cell)
    if _PLAIN.fullmatch(plain):
        return int(plain[:-3] + plain[-2:])
    return cells.cents({column: plain}, column) or 0


@lru_cache(maxsize=20_000)
def number(cell: bytes, column: str) -> Decimal | None:
    """A count; None when empty."""
    return cells.number({column: text(cell)}, column)


@lru_cache(maxsize=20_000)
def pieces(cell: bytes, width: int) -> tuple[str, ...]:
    """Codes that stand side by side in fields of one width, without the empty ones."""
    whole = cell.decode("latin-1")
    parts = (whole[at : at + width].strip() for at in range(0, len(whole), width))
    return tuple(part for part in parts if part)
