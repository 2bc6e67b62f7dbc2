"""What must hold of any bytes given to the readers of CMS's files and of Tuva's; `python -m tests.fuzz.cms_bytes 120`.

The first byte chooses the file. Lines of CCLF are filled up or cut to the width of a kind that the first byte of each
names, unless the choosing byte is 128 or more; tables have their header before them as long as it is not.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator

from formats import cclf, desynpuf, rif, tuva
from formats.cclf_layout import LENGTHS
from formats.detect import lines_of
from formats.reading import Read, ReadFact, Reject
from formats.table import UnknownLayout
from tests.fuzz.detecting import is_told
from tests.fuzz.looking import look

Reader = Callable[[Iterable[bytes], str], Iterator[Read]]
KINDS = "".join(LENGTHS)
TABLES: tuple[tuple[Reader, str, bytes], ...] = (
    (cclf.read, "P.A0001.ACO.D240801.T0102030", b""),
    (cclf.read, "P.A0001.ACO.ZC0Y24.D240801.T0102030", b""),
    (
        rif.read,
        "carrier",
        b"DML_IND|BENE_ID|CLM_ID|FINAL_ACTION|NCH_CLM_TYPE_CD|CLM_FROM_DT|CLM_THRU_DT|NCH_WKLY_PROC_DT|CLM_PMT_AMT"
        b"|CARR_CLM_PMT_DNL_CD|PRNCPAL_DGNS_CD|PRNCPAL_DGNS_VRSN_CD|LINE_NUM|TAX_NUM|LINE_SRVC_CNT|LINE_1ST_EXPNS_DT"
        b"|HCPCS_CD|LINE_NCH_PMT_AMT|LINE_ALOWD_CHRG_AMT|LINE_PRCSG_IND_CD|LINE_ICD_DGNS_CD\n",
    ),
    (
        tuva.read,
        "pharmacy_claim.csv",
        b"claim_id,claim_line_number,patient_id,ndc_code,dispensing_date,paid_amount,paid_date,quantity,days_supply,"
        b"dispensing_provider_npi,prescribing_provider_npi,allowed_amount\n",
    ),
    (
        tuva.read,
        "eligibility.csv",
        b"patient_id,member_id,gender,race,birth_date,death_date,death_flag,enrollment_start_date,enrollment_end_date,"
        b"payer,payer_type,dual_status_code,medicare_status_code,first_name,last_name,address,city,state,zip_code\n",
    ),
    (
        desynpuf.read,
        "DE1_0_2008_to_2010_Prescription_Drug_Events_Sample_1.csv",
        b"DESYNPUF_ID,PDE_ID,SRVC_DT,PROD_SRVC_ID,QTY_DSPNSD_NUM,DAYS_SUPLY_NUM,PTNT_PAY_AMT,TOT_RX_CST_AMT\n",
    ),
)
_FIELD = re.compile(r"[A-Za-z0-9_./?* ]{0,80}")


def whole(sent: bytes) -> tuple[Reader, str, bytes]:
    """The reader, the name and the content of the file that these bytes stand for."""
    first = sent[0] if sent else 0
    reader, name, head = TABLES[first % len(TABLES)]
    if first > 127:
        return reader, name, sent[1:]
    if reader is not cclf.read or ".ZC0" in name:
        return reader, name, head + sent[1:]
    records = []
    for line in sent[1:].split(b"\n"):
        kind = KINDS[(line[0] if line else 0) % len(KINDS)]
        records.append(line[1:].replace(b"\r", b"").ljust(LENGTHS[kind][0])[: LENGTHS[kind][0]] + b"\n")
    return reader, name, b"".join(records)


def holds(sent: bytes) -> None:
    """Raises where a rule does not hold of these bytes."""
    reader, name, file = whole(sent)
    is_told(file)
    try:
        items = list(reader(lines_of(io.BytesIO(file)), name))
    except UnknownLayout:
        return
    lines = sum(1 for line in file.split(b"\n") if line.strip())
    assert sum(item.rows for item in items) <= lines, "more rows than lines"
    for item in items:
        if isinstance(item, Reject):
            assert _FIELD.fullmatch(item.place.field), f"a field that may be data: {len(item.place.field)} characters"
            assert item.rows >= 0
            assert item.reason and item.remedy
        else:
            assert isinstance(item, ReadFact)
            item.event.model_dump_json()


if __name__ == "__main__":
    look("cms_bytes", "cms", *sys.argv[1:])
