"""Which answers ask for action, and what becomes of that when they are amended (outcome rules B.4).

RED: a severity of 3 or more; a frequency of 3 or more with an interference of 3 or more; a composite grade of 3; any
thought of self-harm (PHQ-9 item 9 above 0), whatever the total; fever. AMBER: an answer that is 2 or more higher than
in the completed survey of the same instrument before it, if that was within 14 days. Nothing else alerts. Rises are
looked for in symptoms on scales of 0 to 3 and 0 to 4.

An alert is never deleted. When its response is amended or was entered in error it is closed as `source_amended`, and
what is amended is looked at anew. When a survey that comes late, or an amendment of the one before, changes only what
a response is compared with, an alert that falls away is closed as `comparison_changed`.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Generic, Literal, TypeVar

from contracts.instruments import pro_ctcae
from contracts.instruments.definition import instruments, named
from contracts.instruments.score import Response, answers_of

WINDOW_DAYS: Final = 14
RISE: Final = 2
SEVERE: Final = 3
FEVER: Final = frozenset(("fever", "fever-presence"))

Level = Literal["RED", "AMBER"]
Cause = TypeVar("Cause")
Reason = Literal["source_amended", "comparison_changed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one symptom of a response asks for. `reasons` are names of rules and hold no answer."""

    subject: str
    level: Level
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alert(Generic[Cause]):
    """A finding as it stands: raised by one record, closed by another or still open."""

    response_id: str
    instrument: str
    collected_on: date
    finding: Finding
    raised_by: Cause
    closed_by: Cause | None = None
    close_reason: Reason | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still stands."""
        return self.close_reason is None


def findings(response: Response, before: Response | None = None) -> tuple[Finding, ...]:
    """What a response asks for, compared with the one before it within the window, if there is one."""
    if response.status == "entered_in_error":
        return ()
    earlier = dict(_symptoms(before)) if before is not None else {}
    found = dict[str, Finding]()
    for subject, answers in _symptoms(response):
        red = tuple(_red(subject, answers))
        was = earlier.get(subject, {})
        amber = any(
            (old := was.get(what)) is not None and value is not None and value - old >= RISE
            for what, value in answers.items()
        )
        if red:
            found[subject] = Finding(subject, "RED", red)
        elif amber:
            found[subject] = Finding(subject, "AMBER", ("rise",))
    return tuple(found.values())


_Answers = dict[str, int | None]


def _symptoms(response: Response) -> Iterator[tuple[str, _Answers]]:
    """The answers by symptom: of PRO-CTCAE by term, of PHQ and GAD by item, and whether there is fever."""
    fever = [answer.value for answer in response.items if answer.code.lower() in FEVER and answer.value is not None]
    if fever:
        yield "fever", {"presence": int(max(fever))}
    known = named(response.instrument)
    if known == "pro-ctcae":
        answered = [
            (item, _whole(answer.value)) for answer in response.items if (item := pro_ctcae.item_of(answer.code))
        ]
        for number, answers in pro_ctcae.by_term(answered).items():
            yield f"pro-ctcae/{pro_ctcae.TERMS[number].name}", {str(what): value for what, value in answers.items()}
        return
    instrument = instruments().get(known or "")
    if instrument is None or instrument.least != 0 or instrument.most not in (3, 4):
        return
    for code, value in answers_of(instrument, response).items():
        if code in instrument.items:
            kind = "safety" if code in instrument.safety else "item"
            yield f"{known}/{code}", {kind: _whole(value)}


def _whole(value: Decimal | None) -> int | None:
    return None if value is None else int(value)


def _red(subject: str, answers: _Answers) -> Iterator[str]:
    """The rules by which a symptom is RED."""
    if subject == "fever":
        if answers.get("presence"):
            yield "fever"
        return
    if answers.get("safety"):
        yield "self_harm"
    if (answers.get("severity") or 0) >= SEVERE:
        yield "severity"
    if (answers.get("frequency") or 0) >= SEVERE and (answers.get("interference") or 0) >= SEVERE:
        yield "frequency_and_interference"
    if subject.startswith("pro-ctcae/"):
        term = _TERMS[subject.removeprefix("pro-ctcae/")]
        if pro_ctcae.composite(term, {asked: answers.get(asked) for asked in term.asks}) == SEVERE:
            yield "composite"


_TERMS: Final = {term.name: term for term in pro_ctcae.TERMS.values()}


class AlertBook(Generic[Cause]):
    """The alerts of one member, by every response in the order in which the log has them.

    `cause` is whatever names a record of the log to the caller. The order of the log alone decides: a version of a
    response that comes later takes the place of the one before it.
    """

    def __init__(self) -> None:
        self._standing: dict[str, tuple[Response, int, Cause]] = {}
        self._by_instrument: dict[str, list[tuple[date, int, str]]] = {}
        self._alerts: list[Alert[Cause]] = []
        self._open: dict[str, list[int]] = {}
        self._heard = 0

    def hear(self, response: Response, cause: Cause) -> None:
        """Take in one record."""
        self._heard += 1
        name = response.response_id
        touched: list[tuple[str, date]] = []
        before, place = self._standing.pop(name, None), self._heard
        if before is not None:
            old, place, _ = before
            kind = _kind(old)
            self._by_instrument[kind].remove((old.collected_on, place, name))
            self._close(name, cause, "source_amended")
            touched.append((kind, old.collected_on))
        if response.status != "entered_in_error":
            kind = _kind(response)
            self._standing[name] = response, place, cause
            bisect.insort(self._by_instrument.setdefault(kind, []), (response.collected_on, place, name))
            for finding in findings(response, self._before(name)):
                self._raise(response, finding, cause)
            touched.append((kind, response.collected_on))
        for kind, on in touched:
            for other in self._following(kind, on):
                if other != name:
                    self._look_again(other, cause)

    def alerts(self) -> tuple[Alert[Cause], ...]:
        """Every alert there ever was, in the order in which they were raised."""
        return tuple(self._alerts)

    def _before(self, name: str) -> Response | None:
        """The survey of the same instrument that comes before, if it was within the window."""
        response, number, _ = self._standing[name]
        line = self._by_instrument[_kind(response)]
        at = bisect.bisect_left(line, (response.collected_on, number, name))
        if at == 0 or line[at - 1][0] < response.collected_on - timedelta(days=WINDOW_DAYS):
            return None
        return self._standing[line[at - 1][2]][0]

    def _following(self, kind: str, on: date) -> list[str]:
        """The surveys that may be compared with one of that day."""
        line = self._by_instrument[kind]
        first = bisect.bisect_left(line, (on, 0, ""))
        last = bisect.bisect_right(line, (on + timedelta(days=WINDOW_DAYS), self._heard + 1, ""))
        return [name for _, _, name in line[first:last]]

    def _look_again(self, name: str, cause: Cause) -> None:
        response, _, _ = self._standing[name]
        wanted = list(findings(response, self._before(name)))
        for at in list(self._open.get(name, ())):
            if self._alerts[at].finding in wanted:
                wanted.remove(self._alerts[at].finding)
            else:
                self._shut(at, cause, "comparison_changed")
        for finding in wanted:
            self._raise(response, finding, cause)

    def _raise(self, response: Response, finding: Finding, cause: Cause) -> None:
        self._open.setdefault(response.response_id, []).append(len(self._alerts))
        self._alerts.append(Alert(response.response_id, _kind(response), response.collected_on, finding, cause))

    def _close(self, name: str, cause: Cause, reason: Reason) -> None:
        for at in list(self._open.get(name, ())):
            self._shut(at, cause, reason)

    def _shut(self, at: int, cause: Cause, reason: Reason) -> None:
        alert = self._alerts[at]
        self._alerts[at] = replace(alert, closed_by=cause, close_reason=reason)
        self._open[alert.response_id].remove(at)


def _kind(response: Response) -> str:
    return named(response.instrument) or response.instrument


def alerts_of(responses: Iterable[tuple[Response, Cause]]) -> tuple[Alert[Cause], ...]:
    """The alerts of one member's responses, each with what names its record, in log order."""
    book = AlertBook[Cause]()
    for response, cause in responses:
        book.hear(response, cause)
    return book.alerts()
