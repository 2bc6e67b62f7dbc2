"""An employee's work around a course of treatment: schedule, hours, leave, disability, return (outcome rules A.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from carepact.generate.story import Story, iso

FELL_ILL = frozenset({"died", "died_then_uncovered", "death_corrected"})
"""Scenarios in which the person does not come back to work."""


@dataclass(slots=True)
class Employee:
    """One person's records of work, from the Monday on which absence begins; `back` is the Monday of the return."""

    s: Story
    away: int
    back: int
    number: int = 0

    def tell(self, known: int, origin: str, type_: str, /, **data: Any) -> None:
        """A record with a number of its own, unless it names one."""
        if "record_id" not in data and type_ not in ("LeaveChanged", "DisabilityClaimChanged"):
            self.number += 1
            data = {"record_id": f"W{self.s.number:06d}-{self.number:04d}", **data}
        self.s.add(known, origin, type_, data)

    def hours(self, first: int, last: int, hours: str = "8", code: str = "worked") -> None:
        """Hours of each Monday to Friday; some are corrected a week later."""
        for day in range(first, last + 1):
            if date.fromordinal(day).weekday() > 4:
                continue
            known = day + 1 + self.s.rng.randrange(6)
            mistaken = self.s.rng.random() < 0.03
            said = {"worked_on": iso(day), "pay_code": code}
            self.tell(known, "payroll", "HoursWorked", hours="0.5" if mistaken else hours, **said)
            if mistaken:
                name = f"W{self.s.number:06d}-{self.number:04d}"
                self.tell(
                    known + 7, "payroll", "HoursWorked", record_id=name, record_version=2, hours=hours, **said
                )  # fmt: skip

    def leave(self, first: int, through: int, name: str = "") -> None:
        """A leave, opened without an end and closed with one."""
        data = {"leave_id": f"L{self.s.number:06d}{name}", "leave_type": "fmla", "continuity": "continuous"}
        self.tell(first + 2, "leave", "LeaveChanged", **data, from_on=iso(first), status="opened")
        self.tell(
            through + 4, "leave", "LeaveChanged", **data, from_on=iso(first), through_on=iso(through), status="closed",
            record_version=2, close_reason="returned",
        )  # fmt: skip

    def disability(self, first: int, through: int) -> None:
        """A short-term claim: opened, approved, closed."""
        data = {"claim_id": f"D{self.s.number:06d}", "plan_type": "STD", "disability_on": iso(first)}
        until = {"benefit_from_on": iso(first + 7), "approved_through_on": iso(through)}
        self.tell(first + 6, "disability", "DisabilityClaimChanged", **data, status="opened")
        self.tell(first + 10, "disability", "DisabilityClaimChanged", **data, **until, status="approved",
                  record_version=2)  # fmt: skip
        self.tell(through + 5, "disability", "DisabilityClaimChanged", **data, **until, status="closed",
                  record_version=3, close_reason="returned")  # fmt: skip

    def report(self, day: int, duty: str = "full", source: str = "carrier", **more: Any) -> None:
        """Somebody reports a return."""
        known = day + 1 + self.s.rng.randrange(6)
        self.tell(known, f"{source}-returns", "ReturnToWorkReported", source=source, returned_on=iso(day),
                  duty_status=duty, **more)  # fmt: skip

    def employment(self, day: int, status: str, reason: str) -> None:
        """Employment ends."""
        self.tell(day + 2, "hris", "EmploymentChanged", status=status, from_on=iso(day), reason=reason)

    def absent(self, through: int) -> None:
        """On leave with short-term disability."""
        self.leave(self.away, through)
        self.disability(self.away, through)


def full(e: Employee) -> None:
    """Back in full as the carrier reports it; no hours are sent."""
    e.absent(e.back - 1)
    e.report(e.back)


def full_by_hours(e: Employee) -> None:
    """Back in full by the hours worked, the carrier agreeing."""
    e.absent(e.back - 1)
    e.hours(e.back, e.back + 125)
    e.report(e.back)


def step_by_step(e: Employee) -> None:
    """Half the hours for three weeks, then all."""
    e.absent(e.back - 1)
    e.report(e.back, "partial_hours")
    e.hours(e.back, e.back + 20, "4")
    e.hours(e.back + 21, e.back + 146)
    e.report(e.back + 21)


def half_for_good(e: Employee) -> None:
    """Half the hours, and no more."""
    e.absent(e.back - 1)
    e.hours(e.back, e.back + 125, "4")


def with_restrictions(e: Employee) -> None:
    """Back in full with a restriction, and two days of treatment now and then."""
    e.absent(e.back - 1)
    e.hours(e.back, e.back + 40)
    e.hours(e.back + 41, e.back + 42, code="intermittent_leave")
    e.hours(e.back + 43, e.back + 125)
    e.report(e.back, "full_modified", restrictions=("no-lifting",))


def late(e: Employee) -> None:
    """Back after the benchmark."""
    e.back += 140
    full(e)


def at_work(e: Employee) -> None:
    """Never absent for long: three days off."""
    e.hours(e.away, e.away + 1, code="leave")
    e.hours(e.away + 2, e.away + 60)


def relapse(e: Employee) -> None:
    """Back, and absent again after two weeks; back for good six weeks later."""
    e.absent(e.back - 1)
    e.report(e.back)
    e.leave(e.back + 14, e.back + 55, "b")
    e.report(e.back + 56)


def late_relapse(e: Employee) -> None:
    """Back in full, and absent again after nine weeks."""
    e.absent(e.back - 1)
    e.report(e.back)
    e.leave(e.back + 63, e.back + 400, "b")


def dwindling(e: Employee) -> None:
    """Back in full by the hours, which then dwindle."""
    e.absent(e.back - 1)
    e.hours(e.back, e.back + 20)
    e.hours(e.back + 21, e.back + 90, "3")


def disabled(e: Employee) -> None:
    """Long-term disability."""
    e.leave(e.away, e.away + 400)
    data = {"claim_id": f"T{e.s.number:06d}", "plan_type": "LTD", "disability_on": iso(e.away)}
    e.tell(e.away + 95, "disability", "DisabilityClaimChanged", **data, status="approved",
           benefit_from_on=iso(e.away + 90))  # fmt: skip


def retires(e: Employee) -> None:
    """Leaves for good."""
    e.leave(e.away, e.back - 1)
    e.employment(e.back, "retired", "voluntary")


def dismissed(e: Employee) -> None:
    """Is dismissed while absent."""
    e.leave(e.away, e.back - 1)
    e.employment(e.back, "terminated", "dismissed")


def laid_off(e: Employee) -> None:
    """The site closes three weeks after the return."""
    e.absent(e.back - 1)
    e.report(e.back)
    e.employment(e.back + 21, "terminated", "site_closure")


def conflicting(e: Employee) -> None:
    """The carrier and the leave administrator differ by two weeks."""
    e.absent(e.back - 1)
    e.report(e.back)
    e.report(e.back + 14, source="leave_administrator")


def stays_away(e: Employee) -> None:
    """On leave without an end."""
    e.leave(e.away, e.away + 800)


LIVES: tuple[Callable[[Employee], None], ...] = (
    full, full_by_hours, step_by_step, half_for_good, with_restrictions, late, at_work, relapse, late_relapse,
    dwindling, disabled, retires, dismissed, laid_off, conflicting, stays_away,
)  # fmt: skip


def work(s: Story, start: int, turn: int, dealt: str) -> None:
    """An employee's work around a course that began on a day; lives are dealt in turn."""
    away = start + s.rng.randrange(3, 25)
    away += -date.fromordinal(away).weekday() % 7
    e = Employee(s, away, away + 7 * s.rng.choice((3, 6, 9, 13, 17)))
    life = stays_away if dealt in FELL_ILL else LIVES[turn % len(LIVES)]
    e.tell(start - 60, "hris", "WorkScheduleSet", from_on=iso(start - 400), weekly_hours="40")
    demand = s.rng.choice(("sedentary", "medium", "heavy"))
    e.tell(start - 60, "hris", "EmploymentChanged", status="active", from_on=iso(start - 400), demand=demand)
    e.hours(away - 14, away - 1)
    life(e)
    s.note(f"work_{life.__name__}")
