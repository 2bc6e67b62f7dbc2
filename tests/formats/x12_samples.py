"""Small synthetic X12, written for these tests: segments of a set, and an interchange around them."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).parents[3] / "shared" / "data" / "x12"
GUIDES = {
    "837": ("HC", "005010X222A1"), "837I": ("HC", "005010X223A2"), "834": ("BE", "005010X220A1"),
    "835": ("HP", "005010X221A1"), "820": ("RA", "005010X218"),
}  # fmt: skip
ISA = "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *240131*1147*^*00501*000000907*0*T*:"

ABOVE = [
    "BHT*0019*00*0013*20240301*1200*CH", "NM1*41*2*CLINIC*****46*587654321", "PER*IC*JANE*TE*8035550100",
    "NM1*40*2*PLAN*****46*369852758", "HL*1**20*1", "PRV*BI*PXC*207RX0202X", "NM1*85*2*CLINIC*****XX*1234567893",
    "N3*1 MAIN ST", "N4*COLUMBIA*SC*292010000", "REF*EI*587654321", "HL*2*1*22*0", "SBR*P*18*******CI",
    "NM1*IL*1*CANARY*ZEBRA****MI*1EG4TE5MK73", "N3*12 OAK ST", "N4*COLUMBIA*SC*29201", "DMG*D8*19500203*F",
    "NM1*PR*2*PLAN*****PI*12345",
]  # fmt: skip
PROFESSIONAL = [
    *ABOVE, "CLM*ACCOUNT1*1350.5***11:B:1*Y*A*Y*Y", "REF*D9*CH1", "HI*ABK:C3490*ABF:E119",
    "NM1*82*1*SMITH*BO****XX*1122333341", "PRV*PE*PXC*207RX0202X", "LX*1", "SV1*HC:J9271:JW*1200.5*UN*200***2:1",
    "DTP*472*D8*20240205", "LIN**N4*00006302602", "CTP****200*ME", "LX*2", "SV1*HC:96413*150*UN*1***1",
    "DTP*472*D8*20240205",
]  # fmt: skip
INSTITUTIONAL = [
    *ABOVE, "CLM*ACCOUNT2*13.39***13:A:1**A*Y*Y", "DTP*434*RD8*20240315-20240316", "CL1***01", "HI*ABK:C509",
    "LX*1", "SV2*0305*HC:85025*13.39*UN*1", "DTP*472*D8*20240315",
]  # fmt: skip
ROSTER = [
    "BGN*00*12456*20240101*1200****2", "REF*38*GROUP1", "N1*P5*MILL*FI*571234567", "N1*IN*PLAN*FI*654456654",
    "INS*Y*18*021*20*A***FT", "REF*0F*S1", "REF*1L*GROUP1", "DTP*356*D8*20240101",
    "NM1*IL*1*CANARY*ZEBRA****ZZ*M1", "N3*12 OAK ST", "N4*COLUMBIA*SC*29201", "DMG*D8*19700614*F",
    "HD*021**HLT**EMP", "DTP*348*D8*20240101",
]  # fmt: skip
REMITTANCE = [
    "BPR*I*945.00*C*ACH*CCP*01*888999777*DA*24681012*1935665544**01*111333555*DA*144444*20240316",
    "TRN*1*7170066655*1935665544", "DTM*405*20240314", "N1*PR*PLAN", "N3*1 MAIN ST", "N4*COLUMBIA*SC*29201",
    "PER*BL*HELP*TE*8035550100", "N1*PE*CLINIC*XX*1234567893", "REF*TJ*587654321", "LX*1",
    "CLP*ACCOUNT1*1*800*450*300*12*ICN1*11*1", "CAS*CO*A2*50", "NM1*QC*1*CANARY*ZEBRA****MI*1EG4TE5MK73",
    "NM1*82*1*X*Y****XX*1122333341", "DTM*232*20240301", "DTM*233*20240304", "SVC*HC:J9271:JW*800*500**200",
    "DTM*472*20240301", "CAS*PR*1*300", "AMT*B6*800",
    "CLP*ACCOUNT2*22*-100*-80*-20*12*ICN2*11*8", "NM1*QC*1*CANARY*ZEBRA****MI*1EG4TE5MK73",
    "SVC*HC:99213*-100*-80", "DTM*472*20240105", "CAS*PR*2*-20",
    "CLP*ACCOUNT2*1*800*575*0*12*ICN2*11*7", "NM1*QC*1*CANARY*ZEBRA****MI*1EG4TE5MK73",
    "SVC*HC:99215*800*575", "DTM*472*20240105", "CAS*CO*45*200**A1*25",
    "PLB*1234567893*20241231*WO:ACCOUNT9*50.00*L6*-50.00",
]  # fmt: skip
"""Of three claim payments: 450 - 80 + 575 = 945, and adjustments of 50 - 50 = 0."""

PREMIUMS = [
    "BPR*C*1250.00*C*ACH*CTX*01*111000111*DA*1*1935665544**01*111333555*DA*144444*20240402",
    "TRN*3*PREM1*1935665544", "DTM*582****RD8*20240401-20240430", "N1*PE*PLAN*FI*654456654", "N1*PR*MILL*FI*571234567",
    "ENT*1*2L*FI*571234567", "RMR*IK*INVOICE1**1000.00*1100.00", "DTM*582****RD8*20240401-20240430",
    "IT1*1", "SLN*1**O*12*IE", "ADX*-100.00*H1",
    "ENT*2*2J*EI*E1", "NM1*IL*1*CANARY*ZEBRA****N*M1", "ADX*-50.00*53", "RMR*AZ*POLICY1**300.00*300.00",
    "DTM*582****RD8*20240401-20240430",
]  # fmt: skip
"""A group's premium of 1,000 and one person's of 300, with 50 taken back of an earlier payment: 1,250."""


def made(kind: str, *sets: list[str], isa: str = ISA) -> bytes:
    """An interchange of one group of these sets."""
    group, guide = GUIDES[kind]
    body = [isa, f"GS*{group}*SENDER*RECEIVER*20240131*1147*1*X*{guide}"]
    for i, segments in enumerate(sets, 1):
        start = f"ST*{kind[:3]}*{i:04}" + ("" if kind == "835" else f"*{guide}")
        body += [start, *segments, f"SE*{len(segments) + 2}*{i:04}"]
    return ("~".join([*body, f"GE*{len(sets)}*1", "IEA*1*000000907"]) + "~").encode()
