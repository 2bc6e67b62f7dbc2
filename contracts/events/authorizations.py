"""A person's own authorization to tell a named recipient something, and its revocation (rules E.4, E.5)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contracts.events.base import Code, Day, Event, MemberFact, RecordId


class AuthorizationGiven(MemberFact):
    """The person signed that the recipient may be told: of the return to work status and day, and nothing of why.

    `part2` is the consent that a practice sees claims under 42 CFR Part 2 by themselves in its contest packs. It is
    voluntary, employment may not depend on it, and it can be revoked at any time.
    """

    authorization_id: RecordId
    recipient: Annotated[
        Code, Field(description="who may be told: an employer's plan, as the roster names it; of `part2` a practice")
    ]
    scope: Literal["return_to_work", "part2"]
    purpose: Code
    signed_on: Day
    expires_on: Annotated[Day, Field(description="the last day on which it holds")]
    text_version: Annotated[Code, Field(description="of the text that was signed")]


class AuthorizationRevoked(MemberFact):
    """The person took an authorization back. What was told before stays told; nothing is told from now on."""

    authorization_id: RecordId
    revoked_on: Day


class ReturnToWorkTold(Event):
    """A person's return to work, told to the recipient that the person named: a status and its day, and nothing else.

    The event's subject is the authorization. It is on no topic and in no file: `/v1/individual-feed` alone tells it.
    """

    status: Literal["returned_in_part", "returned", "confirmed", "lapsed"]
    on: Annotated[Day, Field(description="of the return; of one that lapsed, the day on which it did")]
