"""837 claims for the intake benchmark: a file of any size, our reader over it, and what pyx12 takes for the same.

Claims are professional, of two lines each (a drug by NDC and its infusion), 2,500 to a transaction set; about 420 bytes
and 20 segments a claim. Figures are processor time of one process.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice

from formats import x12
from formats.reading import Reject

CLAIMS_IN_SET = 2_500
_GUIDE = "005010X222A1"
_ISA = "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *240131*1147*^*00501*000000907*0*T*:"
_HEADER = (
    "BHT*0019*00*{control}*20240301*1200*CH~NM1*41*2*CLINIC*****46*587654321~PER*IC*JANE*TE*8035550100~"
    "NM1*40*2*PLAN*****46*369852758~HL*1**20*1~PRV*BI*PXC*207RX0202X~NM1*85*2*CLINIC*****XX*1234567893~N3*1 MAIN ST~"
    "N4*COLUMBIA*SC*292010000~REF*EI*587654321~"
)
_CLAIM = (
    "HL*{level}*1*22*0~SBR*P*18*******CI~NM1*IL*1*DOE*JANE{member}****MI*W{member:09}~N3*12 OAK ST~"
    "N4*COLUMBIA*SC*29201~DMG*D8*19500203*F~NM1*PR*2*PLAN*****PI*12345~CLM*ACC{n}*1350.5***11:B:1*Y*A*Y*Y~REF*D9*CH1~"
    "HI*ABK:C3490*ABF:E119~NM1*82*1*SMITH*BO****XX*1122333341~PRV*PE*PXC*207RX0202X~LX*1~"
    "SV1*HC:J9271:JW*1200.5*UN*200***2:1~DTP*472*D8*2024{month:02}{day:02}~LIN**N4*00006302602~CTP****200*ME~LX*2~"
    "SV1*HC:96413*150*UN*1***1~DTP*472*D8*2024{month:02}{day:02}~"
)
_SEGMENTS_ABOVE, _SEGMENTS_OF_CLAIM = _HEADER.count("~"), _CLAIM.count("~")


@dataclass(frozen=True)
class Read:
    """What a reader made of a file."""

    claims: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Claims a second of processor time."""
        return self.claims / self.seconds


def written(claims: int) -> Iterator[bytes]:
    """An interchange of so many claims, a transaction set at a time."""
    yield f"{_ISA}~GS*HC*SENDER*RECEIVER*20240131*1147*1*X*{_GUIDE}~".encode()
    numbers = iter(range(claims))
    for control in count(1):
        chosen = list(islice(numbers, CLAIMS_IN_SET))
        if not chosen:
            yield f"GE*{control - 1}*1~IEA*1*000000907~".encode()
            return
        body = [
            _CLAIM.format(level=level, member=n % 5_000, n=n, month=1 + n % 12, day=1 + n % 28)
            for level, n in enumerate(chosen, 2)
        ]
        segments = _SEGMENTS_ABOVE + _SEGMENTS_OF_CLAIM * len(chosen) + 2
        head = f"ST*837*{control:04}*{_GUIDE}~" + _HEADER.format(control=control)
        yield "".join([head, *body, f"SE*{segments}*{control:04}~"]).encode()


def read(chunks: Iterable[bytes], validate: x12.Validate = "syntax") -> Read:
    """All claims as facts; the making of the file does not count. A reject is an error: the file is whole."""
    held = list(chunks)
    began, claims = time.process_time(), 0
    for item in x12.read(held, "claims.837", validate=validate):
        assert not isinstance(item, Reject), item
        claims += 1
    return Read(claims, time.process_time() - began)


def read_by_pyx12(text: bytes) -> Read:
    """The same file through pyx12's own way to claims, loop by loop (`X12ContextReader`), and nothing made of them."""
    from pyx12.error_handler import errh_null  # noqa: PLC0415 - of the benchmark alone
    from pyx12.params import ParamsUnix  # noqa: PLC0415
    from pyx12.x12context import X12ContextReader  # noqa: PLC0415

    began, claims = time.process_time(), 0
    reader = X12ContextReader(ParamsUnix(), errh_null(), io.StringIO(text.decode("ascii")))
    for tree in reader.iter_segments("2300"):
        claims += tree.id == "2300"
    return Read(claims, time.process_time() - began)


def validated_by_pyx12(text: bytes) -> Read:
    """The same file through pyx12's validation (`x12n_document`), as its own command line runs it."""
    from pyx12.params import ParamsUnix  # noqa: PLC0415
    from pyx12.x12n_document import x12n_document  # noqa: PLC0415

    began = time.process_time()
    assert x12n_document(ParamsUnix(), io.StringIO(text.decode("ascii")), None, None), "the file is valid"
    return Read(text.count(b"~CLM*"), time.process_time() - began)
