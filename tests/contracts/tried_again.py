"""A payment tried again on nothing but what its explanation says under `try`: through JSON, as a user would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from contracts.trial import answer, find, read_json


def tried_again(back: Mapping[str, Any] | None, amount_cents: int) -> dict[str, Any]:
    """What the clause says to it; it gives the payment's cents, to the cent and with its sign."""
    assert back is not None
    contract = str(back["contract"])
    given = read_json(json.dumps(back["given"]))
    result: dict[str, Any] = answer(find(contract.split("/", maxsplit=1)[0], back["clause"]), given, contract)
    assert result[back["gives"]] * back["sign"] == amount_cents
    if (whole := back.get("of")) is not None:
        cents = int(Decimal(back["given"]["amount"]) * 100)
        tried_again(whole, cents)
    return result
