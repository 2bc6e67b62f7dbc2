"""The exact negative of a payment: of every one of its components, so that both together are nought (seam 11)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from contracts.units import money

LABEL = "Reversal: "


def reversed_lines(payment_id: str, components: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    """The lines that take back a payment of components [clause, label, cents]: 110.00 becomes -110.00."""
    return [
        {
            "clause": clause,
            "label": f"{LABEL}{label}",
            "arithmetic": f"-({money(amount)}) of payment {payment_id}",
            "amount_cents": -amount,
            "terms": [],
        }
        for clause, label, amount in components
    ]
