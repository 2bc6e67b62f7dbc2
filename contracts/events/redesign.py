"""What a practice shows of its redesign activities, and what it agreed with others: facts about no one member."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from contracts.events.base import BroadcastFact, Code, Day, Practice, RecordId

Activity = Literal[
    "access", "navigation", "care_plan", "guidelines", "hrsn", "epro", "quality_improvement", "certified_ehr"
]


class RedesignActivityEvidenced(BroadcastFact):
    """Evidence that a practice carries out an activity for the days named, or that it no longer does.

    The evidence names the activity itself, or a standard of NCQA that the contract's terms map to activities. The
    newest fact wins for its days; `met` false takes away what was shown.
    """

    record_id: RecordId
    practice: Practice
    activity: Activity | None = None
    standard: Annotated[Code | None, Field(description="of NCQA, as omh/access")] = None
    evidence: Literal["attestation", "policy", "report", "survey", "recognition", "certification"]
    from_on: Day
    through_on: Day | None = None
    met: bool = True


class CarePartnerArranged(BroadcastFact):
    """A practice shares its results with another provider, or no longer does, for the days named."""

    practice: Practice
    partner: Annotated[Practice, Field(description="TIN or id of the Care Partner")]
    share: Annotated[
        Decimal, Field(ge=0, le=1, max_digits=6, decimal_places=5, description="part of a payment or recoupment")
    ]
    from_on: Day
    through_on: Day | None = None
    in_force: bool = True


class BenefitEnhancementElected(BroadcastFact):
    """A practice offers a benefit enhancement of the model, or no longer does, for the days named."""

    practice: Practice
    enhancement: Literal["telehealth", "post_discharge_home_visits", "care_management_home_visits"]
    from_on: Day
    through_on: Day | None = None
    elected: bool = True
