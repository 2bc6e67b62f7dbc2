"""Whether something of a person may be told to a recipient: asked anew at every attempt, and on replay (E.4, E.5).

Nothing is told but under an authorization in force. A revocation holds from the moment it is known, whatever day it
names and whichever of the two was heard first; an id that was revoked never holds again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, Literal
from uuid import uuid5

from contracts.envelope import NAMESPACE, Fact

Standing = Literal["in_force", "revoked", "expired", "not_yet", "unknown", "not_the_recipient"]
RETURN_TO_WORK: Final = "return_to_work"
GIVEN, REVOKED = "carepact.AuthorizationGiven.v1", "carepact.AuthorizationRevoked.v1"


@dataclass(frozen=True, slots=True)
class Authorization:
    """One authorization as signed; both days are included."""

    recipient: str
    signed_on: str
    expires_on: str
    scope: str = RETURN_TO_WORK


@dataclass(slots=True)
class Authorizations:
    """One member's authorizations, as far as their facts are heard."""

    given: dict[str, Authorization] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)

    def take(self, fact: Fact) -> None:
        """The next fact of the member. Of one id the first giving holds: another text is another authorization."""
        data: Any = fact.data
        if fact.type == GIVEN:
            signed, expires = data.signed_on.isoformat(), data.expires_on.isoformat()
            self.given.setdefault(data.authorization_id, Authorization(data.recipient, signed, expires, data.scope))
        elif fact.type == REVOKED:
            self.revoked.add(data.authorization_id)

    def recipients(self, scope: str, on: str) -> frozenset[str]:
        """Who may be told on a day of what a scope names."""
        of_scope = ((name, one.recipient) for name, one in self.given.items() if one.scope == scope)
        return frozenset(recipient for name, recipient in of_scope if self.standing(name, recipient, on) == "in_force")

    def standing(self, authorization_id: str, recipient: str, on: str) -> Standing:
        """Whether a recipient may be told on a day under an authorization, or why not."""
        if authorization_id in self.revoked:
            return "revoked"
        found = self.given.get(authorization_id)
        if found is None:
            return "unknown"
        if found.recipient != recipient:
            return "not_the_recipient"
        if on < found.signed_on:
            return "not_yet"
        return "in_force" if on <= found.expires_on else "expired"


def told(
    status: str, partial_on: date | None, returned_on: date | None, lapsed_on: date | None
) -> tuple[str, date] | None:
    """What of a known return may be told: a status and its day; None where there is nothing.

    That somebody is absent, died, left or is no longer followed is nobody's return to work.
    """
    match status:
        case "lapsed" if lapsed_on:
            return "lapsed", lapsed_on
        case "sustained" if returned_on:
            return "confirmed", returned_on
        case "observed" if returned_on:
            return "returned", returned_on
        case "absent" | "observed" if partial_on:
            return "returned_in_part", partial_on
        case _:
            return None


def told_id(payer: str, member: str, authorization_id: str, status: str, on: date) -> str:
    """The id of what is told: it follows from the log, and the token in it keeps others from guessing what it names."""
    return str(uuid5(NAMESPACE, f"return to work|{payer}|{member}|{authorization_id}|{status}|{on}"))
