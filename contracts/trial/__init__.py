"""A calculator: one clause of a contract on given figures, by the code that settles. No log, no platform.

`answer(contract, clause, given)` gives the result, or a `Refused` that names the field and says why; it never repeats
what was given. `TRIALS` are the clauses there are, each with its givens, an example and the terms it reads.
"""

from __future__ import annotations

from contracts.trial.answer import TRIALS, Unknown, answer, answers, find
from contracts.trial.clause import Trial
from contracts.trial.figures import Refused, read_json

__all__ = ["TRIALS", "Refused", "Trial", "Unknown", "answer", "answers", "find", "read_json"]
