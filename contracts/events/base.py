"""What every fact shares: frozen models, sealed fields, and the small types of codes, days and money.

A field marked `SEALED` holds what names a person. It is accepted at the door and leaves it only encrypted, so
the model of what is stored (`stored(Model)`) does not have it at all. Everything else is open: token, dates,
codes, amounts, practice.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, create_model

SEALED: dict[str, Any] = {"sealed": True}

Cents = Annotated[int, Field(ge=-(10**12), le=10**12, description="US cents; never a float")]
Code = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9._:/+-]+$")]
Icd10 = Annotated[str, Field(min_length=3, max_length=8, pattern=r"^[A-Z0-9]+$", description="ICD-10-CM, no dot")]
Hcpcs = Annotated[str, Field(min_length=5, max_length=5, pattern=r"^[A-Z0-9]{5}$", description="HCPCS or CPT")]
Ndc = Annotated[str, Field(min_length=11, max_length=11, pattern=r"^[0-9]{11}$", description="NDC, 5-4-2, no dash")]
Npi = Annotated[str, Field(min_length=1, max_length=15, pattern=r"^[A-Za-z0-9]+$")]
Practice = Annotated[
    str, Field(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9-]+$", description="TIN or practice id")
]
RecordId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$", description="the payer's own number")]
Units = Annotated[Decimal, Field(max_digits=14, decimal_places=4)]
Text = Annotated[str, Field(max_length=2000)]
Day = Annotated[date, Field(ge=date(1900, 1, 1), le=date(2200, 1, 1))]


class Model(BaseModel):
    """A frozen, closed value: an unknown field is an error, and no error shows the input."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Identifier(Model):
    """How the payer names a person; becomes a token at the door, and is sealed."""

    kind: Annotated[str, Field(pattern=r"^(mbi|member_id|employee_id|beneficiary_id)$")]
    value: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]


class Person(Model):
    """Who a fact is about. Sealed as a whole; only the identifier is required."""

    identifier: Identifier
    family_name: Text | None = None
    given_name: Text | None = None
    birth_date: Day | None = None
    address: Text | None = None
    postal_code: Text | None = None
    phone: Text | None = None
    email: Text | None = None


class Event(Model):
    """Something that happened. `VERSION` is part of the stored type; a new meaning is a new event."""

    VERSION: ClassVar[int] = 1

    @classmethod
    def type_name(cls) -> str:
        """The CloudEvents type, for example `carepact.ProfessionalClaimReceived.v1`."""
        return f"carepact.{cls.__name__}.v{cls.VERSION}"


class MemberFact(Event):
    """A fact about one member: lands in the member's partition."""

    person: Annotated[Person | None, Field(json_schema_extra=SEALED)] = None


class BroadcastFact(Event):
    """A fact about no one member: one record in every partition of the payer's log."""


E = TypeVar("E", bound=Event)


def sealed_fields(model: type[Event]) -> tuple[str, ...]:
    """The names of the fields of `model` that are sealed at the door."""
    return tuple(
        name
        for name, field in model.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("sealed")
    )


@cache
def stored(model: type[E]) -> type[E]:
    """The model of what the log holds: `model` without its sealed fields, under the same name."""
    hidden = set(sealed_fields(model))
    if not hidden:
        return model
    fields: dict[str, Any] = {n: (f.annotation, f) for n, f in model.model_fields.items() if n not in hidden}
    made: Any = create_model(
        model.__name__, __base__=Event, __module__=model.__module__, __doc__=model.__doc__, **fields
    )
    made.VERSION = model.VERSION
    return cast("type[E]", made)
