"""Files for the intake benchmark: one generated population as CCLF, FHIR and CSV, our readers over it, and plain ones.

What is made of a file by the plain readers is what one would write without carepact: each record sliced or split by the
standard library and checked by pydantic, each resource validated by fhir.resources. They link no records of one claim.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache

from pydantic import BaseModel

from carepact.generate.as_cclf import files as cclf_files
from carepact.generate.as_csv import files as csv_files
from carepact.generate.as_fhir import files as fhir_files
from carepact.generate.carried import carried, told
from carepact.generate.population import generate
from carepact.generate.told import Told
from formats import cclf, fhir, tuva
from formats.cclf_layout import COLUMNS
from formats.reading import Read, Reject

PAYER, SEED = "medicare", 7
ROUNDS = 3


@dataclass(frozen=True)
class Rate:
    """What a reader took, in records of the file; `facts` is what came of them, 0 where nothing was made."""

    records: int
    seconds: float
    facts: int = 0

    @property
    def per_second(self) -> float:
        """Records a second of processor time, the best of some rounds."""
        return self.records / self.seconds


@cache
def _facts(members: int) -> tuple[Told, ...]:
    return tuple(told(line for _, line in generate(members, SEED, payers=(PAYER,))))


def _best(records: int, read: Callable[[], int]) -> Rate:
    best, facts = float("inf"), 0
    for _ in range(ROUNDS):
        began = time.process_time()
        facts = read()
        best = min(best, time.process_time() - began)
    return Rate(records, best, facts)


def _counted(items: Iterable[Read]) -> int:
    facts = 0
    for item in items:
        assert not isinstance(item, Reject), item
        facts += 1
    return facts


def read_cclf(members: int) -> Rate:
    """Lines of a whole submission, CCLF0 to 9, as facts."""
    made = cclf_files(carried("cclf", list(_facts(members))))
    files = [(name, content.splitlines(keepends=True)) for name, content in made]
    return _best(sum(len(lines) for _, lines in files), lambda: _counted(cclf.read_set(files)))


class _PhysicianLine(BaseModel):
    CUR_CLM_UNIQ_ID: str
    CLM_LINE_NUM: int
    BENE_MBI_ID: str
    CLM_FROM_DT: date
    CLM_THRU_DT: date
    CLM_LINE_FROM_DT: date
    CLM_LINE_HCPCS_CD: str
    CLM_LINE_CVRD_PD_AMT: Decimal
    CLM_LINE_DGNS_CD: str
    CLM_RNDRG_PRVDR_TAX_NUM: str
    CLM_ADJSMT_TYPE_CD: str
    CLM_EFCTV_DT: date
    CLM_CNTL_NUM: str
    CLM_LINE_ALOWD_CHRG_AMT: Decimal
    CLM_LINE_SRVC_UNIT_QTY: Decimal


def slice_cclf(members: int) -> Rate:
    """Lines of CCLF5 alone, sliced and checked by pydantic, each by itself."""
    made = dict(cclf_files(carried("cclf", list(_facts(members)))))
    lines = next(content for name, content in made.items() if ".ZC5" in name).decode().splitlines()
    columns = {name: (first - 1, last) for name, (first, last) in COLUMNS["5"].items()}

    def read() -> int:
        for line in lines:
            _PhysicianLine.model_validate({name: line[at:end].strip() for name, (at, end) in columns.items()})
        return len(lines)

    return _best(len(lines), read)


def _resources(members: int) -> bytes:
    return dict(fhir_files(carried("fhir", list(_facts(members))), PAYER))["ExplanationOfBenefit.ndjson"]


def read_fhir(members: int) -> Rate:
    """ExplanationOfBenefit in bulk, as facts."""
    content = _resources(members)
    return _best(content.count(b"\n"), lambda: _counted(fhir.read([content], "eob.ndjson")))


def validate_fhir(members: int) -> Rate:
    """The same resources through fhir.resources, as many as it takes in a while."""
    from fhir.resources.R4B.explanationofbenefit import ExplanationOfBenefit  # noqa: PLC0415 - of the benchmark alone

    lines = _resources(members).splitlines()[:300]

    def read() -> int:
        for line in lines:
            ExplanationOfBenefit.model_validate_json(line)
        return len(lines)

    return _best(len(lines), read)


def _claims(members: int) -> bytes:
    return dict(csv_files(carried("csv", list(_facts(members))), PAYER))["medical_claim.csv"]


def read_csv(members: int) -> Rate:
    """Rows of medical claims in the Tuva layout, as facts."""
    lines = _claims(members).splitlines(keepends=True)
    return _best(len(lines) - 1, lambda: _counted(tuva.read(lines, "medical_claim.csv")))


class _Row(BaseModel):
    claim_id: str
    claim_line_number: int
    claim_type: str
    patient_id: str
    claim_start_date: date
    claim_end_date: date
    claim_line_start_date: date
    hcpcs_code: str
    paid_amount: Decimal
    diagnosis_code_1: str


def validate_csv(members: int) -> Rate:
    """The same rows through csv.DictReader and pydantic, each by itself."""
    text = _claims(members).decode()

    def read() -> int:
        return len([_Row.model_validate(row) for row in csv.DictReader(io.StringIO(text))])

    return _best(text.count("\n") - 1, read)
