"""Who pays: the payers, their contracts, and the plans of those who pay for several employers."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
SHIPPED = Path(__file__).with_name("roster.toml")


class Plan(BaseModel):
    """One employer's plan: its own inbox, outcomes and tenant column, on the log it shares with other plans."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    title: str


class Payer(BaseModel):
    """A payer has one log. `time_zone` serves the day-closing scheduler only; no contract reads it.

    `part2_sources` are the sources, and `part2_providers` the NPIs and tax numbers, of its programmes for substance use
    treatment: their records are tagged at the door.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    title: str
    contract: str
    time_zone: str
    plans: tuple[Plan, ...] = ()
    part2_sources: frozenset[str] = frozenset()
    part2_providers: frozenset[str] = frozenset()

    @field_validator("time_zone")
    @classmethod
    def _is_a_time_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except ZoneInfoNotFoundError:
            raise ValueError("not a time zone that this machine knows") from None
        return name

    @property
    def tenants(self) -> tuple[str, ...]:
        """Who may publish to this payer's log: its plans, or the payer itself where it has none."""
        return tuple(plan.name for plan in self.plans) or (self.name,)


class Roster(BaseModel):
    """All payers. `space` is empty but for tests, which get topics of their own on a shared broker by it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    payers: Annotated[tuple[Payer, ...], Field(min_length=1)]
    space: str = ""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [payer.name for payer in self.payers] + [plan.name for payer in self.payers for plan in payer.plans]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"named twice: {', '.join(twice)}")
        return self

    @classmethod
    def load(cls, path: Path | None = None) -> Roster:
        """Read a roster file; without one, the roster that is shipped."""
        return cls.model_validate(tomllib.loads((path or SHIPPED).read_text(encoding="utf-8")))

    def within(self, space: str) -> Roster:
        """The same payers under other names (`t1` gives `t1-medicare`), with topics and principals of their own."""

        def renamed(payer: Payer) -> Payer:
            plans = tuple(plan.model_copy(update={"name": f"{space}-{plan.name}"}) for plan in payer.plans)
            return payer.model_copy(update={"name": f"{space}-{payer.name}", "plans": plans})

        return Roster(payers=tuple(renamed(payer) for payer in self.payers), space=space)

    @property
    def names(self) -> tuple[str, ...]:
        """The payers' names, in the order of the file."""
        return tuple(payer.name for payer in self.payers)

    @property
    def tenants(self) -> tuple[str, ...]:
        """Every payer or plan that may publish; each is also the name of its Kafka principal."""
        return tuple(tenant for payer in self.payers for tenant in payer.tenants)

    def payer(self, name: str) -> Payer:
        """The payer of that name; a `KeyError` names the unknown one and those there are."""
        for payer in self.payers:
            if payer.name == name:
                return payer
        raise KeyError(f"no payer {name!r} in the roster; there are {', '.join(self.names)}")

    def payer_of(self, tenant: str) -> Payer:
        """The payer whose log a tenant (payer or plan) publishes to."""
        for payer in self.payers:
            if tenant in payer.tenants:
                return payer
        raise KeyError(f"no payer or plan {tenant!r} in the roster; there are {', '.join(self.tenants)}")
