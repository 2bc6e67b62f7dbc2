"""The least evidence that lets a contract's own clauses say what they owe: one member, one episode, its services."""

from __future__ import annotations

from contracts.clauses import Clauses, Due
from contracts.episode import Service, Window
from contracts.parts import Adoption, Episode, Member, Owed, Ref, Span
from contracts.units import FOREVER, add_months

PRACTICE = "practice"
GIVEN: Ref = (b"given", "given", 0)


def months_owed(clauses: Clauses, initiated_on: str, code: str, months: int, dual_code: str) -> tuple[list[Due], int]:
    """The payments for so many months billed by the episode's own practice, and what they add to its expenditure."""
    member, episode, window, adoption = _stage(initiated_on, clauses.calendar.ends_on(initiated_on))
    if dual_code:
        member.head.coverage["dual"] = [Span("0001-01-01", FOREVER, dual_code, GIVEN)]
    for nth in range(months):
        day = add_months(initiated_on, nth)
        key = f"{day}|{PRACTICE}|{code}|given"
        window.services[key] = Service(day, PRACTICE, code, key, GIVEN)
    dues = _made(clauses.owed(member, episode, window, adoption))
    for due in dues:
        episode.owed[due.period] = Owed(
            "", due.kind, due.period, due.amount_cents, due.practice, due.effective_on, due.basis, []
        )
    return dues, clauses.expenditure_cents(episode)


def fees_owed(clauses: Clauses, from_on: str, through_on: str) -> list[Due]:
    """The fees of an episode that was active from a day to a day, all of them closed."""
    member, episode, window, adoption = _stage(from_on, through_on)
    adoption.closed_through = through_on
    return _made(clauses.owed(member, episode, window, adoption))


def _made(dues: list[Due]) -> list[Due]:
    """The same; raises `NoTermInForce` of a payment that waits."""
    for due in dues:
        if due.waits is not None:
            raise due.waits
    return dues


def _stage(start: str, end: str) -> tuple[Member, Episode, Window, Adoption]:
    member, episode, window = Member("", 0, ""), Episode("", start, end), Window(start, end)
    episode.practice = PRACTICE
    window.opening[start] = ["", "", "given", GIVEN]
    window.visits[start, PRACTICE, "given"] = {"given": GIVEN}
    adoption = Adoption(practices={PRACTICE: [Span("0001-01-01", FOREVER, "", GIVEN)]})
    return member, episode, window, adoption
