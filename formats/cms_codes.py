"""CMS's codes that several of its formats share, and what they mean here."""

from __future__ import annotations

from typing import Final

SETTINGS: Final = {
    "10": "home_health", "20": "skilled_nursing", "30": "skilled_nursing", "40": "outpatient", "50": "hospice",
    "60": "inpatient", "61": "inpatient",
}  # fmt: skip
"""Claim types of facilities."""
PAID_BY_CARRIER: Final = frozenset(("", *"123456789AB"))
"""Carrier denial codes that say who was paid; 0 and letters beyond say that Medicare paid nobody."""
PAID_LINE: Final = frozenset(("", *"AORS"))
"""Processing indicators of lines that were allowed, paid otherwise, reprocessed, or paid second."""
SEX: Final = {"1": "male", "2": "female", "0": "unknown"}
ESRD: Final = frozenset(("11", "21", "31"))
"""Medicare status codes with end-stage renal disease."""
_BILLS: Final = {"11": "inpatient", "12": "inpatient", "18": "skilled_nursing", "81": "hospice", "82": "hospice"}
_FACILITIES: Final = {
    "1": "outpatient", "2": "skilled_nursing", "3": "home_health", "7": "outpatient", "8": "outpatient",
}  # fmt: skip


def setting_of_bill(bill: str) -> str:
    """The setting of a type of bill, of which the first two characters say it: 131 is an outpatient's."""
    return _BILLS.get(bill[:2]) or _FACILITIES.get(bill[:1], "other")
