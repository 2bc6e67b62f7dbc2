"""What patients are asked, what their answers come to, and which of them a nurse must see today.

Pure and dated: `score` makes totals, grades and bands of a response, `alerts` tells which responses ask for action.
"""

from __future__ import annotations

from contracts.instruments.alerts import Alert, AlertBook
from contracts.instruments.score import Scored, Unscorable, score, unscorable

__all__ = ["Alert", "AlertBook", "Scored", "Unscorable", "score", "unscorable"]
