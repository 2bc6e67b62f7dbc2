"""WPAI: what health costs of working time, of the work done in it, and of other activities (outcome rules A.5).

Answers are hours of the last seven days without today, and 0-10 for the two scales. General Health: absenteeism
Q2/(Q2+Q4), presenteeism Q5/10, overall A + (1-A) x Q5/10, activity Q6/10, all as fractions of 1. One who is employed
(Q1 yes) with Q2+Q4 = 0 has no absenteeism, which is not an absenteeism of 0. The combined version counts hours missed
for the problem (Q2a) among those missed for any reason (Q2a+Q2b); its scale items are Q4a, Q4b, Q5a and Q5b (known).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Version = Literal["wpai-gh", "wpai-shp"]

_TEN = Decimal(10)
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Impairment:
    """Fractions of 1; None where the answers do not give one."""

    absenteeism: Decimal | None
    presenteeism: Decimal | None
    overall: Decimal | None
    activity: Decimal | None


def impairment(version: Version, answers: Mapping[str, Decimal | None]) -> Impairment:
    """The four figures of one survey. Q2 8, Q4 32, Q5 3, Q6 4 give 0.2, 0.3, 0.2 + 0.8 x 0.3 = 0.44, and 0.4.

    Presenteeism is asked of those who worked: without hours of work it is None. Of one who is not employed, activity
    is all there is.
    """
    if version == "wpai-gh":
        missed, others, worked, at_work, active = (answers.get(code) for code in ("Q2", "", "Q4", "Q5", "Q6"))
    else:
        missed, others, worked, at_work, active = (answers.get(code) for code in ("Q2a", "Q2b", "Q3", "Q4a", "Q5a"))
        others = others if others is not None else _ZERO
    activity = None if active is None else active / _TEN
    if answers.get("Q1") == 0 or missed is None or worked is None:
        return Impairment(None, None, None, activity)
    hours = missed + (others or _ZERO) + worked
    absent = missed / hours if hours else None
    present = at_work / _TEN if at_work is not None and worked else None
    if absent is None:
        return Impairment(None, None, None, activity)
    overall = absent if not worked else None if present is None else absent + (1 - absent) * present
    return Impairment(absent, present, overall, activity)
