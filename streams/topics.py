"""Every topic, declared once: its partitions, how long it is kept, and who may read and write it.

The log, what is paid and what is refused are kept for ever; an inbox is kept for days only, as intake deletes what it
has taken. Brokers, access lists and the AsyncAPI page are all made from this page. No Kafka is imported here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from streams.roster import Roster

PLATFORM = "platform"  # the super user, needs no list
AGENTS = "agents"
OPERATOR = "operator"
GATEWAY = "gateway"  # what it takes in by HTTP goes through the same door as an operator's files
STAFF = (AGENTS, OPERATOR)
DOORS = (*STAFF, GATEWAY)

FOR_EVER = -1
INBOX_HOURS = 72
HOUR_MS = 3_600_000
FACT_BYTES_MAX = 512 * 1024  # a larger fact is rejected by name
MESSAGE_BYTES_MAX = 1_048_588  # of a record batch as sent: a fact, its envelope and room
REJECT_BYTES_MAX = 4 * 1_048_576  # raw bytes are kept whole, sealed

Kind = Literal[
    "log", "inbox", "requests", "payments", "episodes", "settlements", "rejects", "outcomes", "operations",
    "checkpoints", "control",
]  # fmt: skip


def log_topic(payer: str) -> str:
    """The log of record of one payer."""
    return f"carepact.{payer}.events.v1"


def inbox_topic(tenant: str) -> str:
    """Where a payer or plan writes by Kafka itself."""
    return f"carepact.{tenant}.inbox.v1"


def requests_topic(payer: str) -> str:
    """Requests for settlements and aggregates, each with its cut."""
    return f"carepact.{payer}.requests.v1"


def payments_topic(payer: str) -> str:
    """Payments determined and reversed."""
    return f"carepact.{payer}.payments.v1"


def episodes_topic(payer: str) -> str:
    """Versions of episodes, as they came to be."""
    return f"carepact.{payer}.episodes.v1"


def settlements_topic(payer: str) -> str:
    """Settlements of periods and cohorts."""
    return f"carepact.{payer}.settlements.v1"


def rejects_topic(payer: str) -> str:
    """What could not be taken in, raw bytes sealed."""
    return f"carepact.{payer}.rejects.v1"


def outcomes_topic(plan: str) -> str:
    """Outcomes as one employer may see them."""
    return f"carepact.{plan}.outcomes.v1"


def operations_topic(space: str = "") -> str:
    """What operators did: file runs, credentials, disclosures, retries, decisions."""
    return f"carepact.{space}.operations.v1" if space else "carepact.operations.v1"


def checkpoints_topic(space: str = "") -> str:
    """Signed heads of the Merkle trees over logs, payments and operations."""
    return f"carepact.{space}.checkpoints.v1" if space else "carepact.checkpoints.v1"


def control_topic(space: str = "") -> str:
    """Faust's own, one partition: an app without a topic agent does not start."""
    return f"carepact.{space}.control.v1" if space else "carepact.control.v1"


class Topic(BaseModel):
    """One topic. `trimmers` may delete records behind a position; nobody may change or delete a topic."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Kind
    payer: str = ""
    tenant: str = ""
    partitions: int = 1
    retention_ms: int = FOR_EVER
    append_time: bool = False
    message_bytes_max: int = MESSAGE_BYTES_MAX
    readers: tuple[str, ...] = STAFF
    writers: tuple[str, ...] = (AGENTS,)
    trimmers: tuple[str, ...] = ()

    @property
    def config(self) -> dict[str, str]:
        """The topic's settings as Kafka names them; those not given here are the broker's."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "retention.bytes": "-1",
            "max.message.bytes": str(self.message_bytes_max),
            "message.timestamp.type": "LogAppendTime" if self.append_time else "CreateTime",
        }


def topics(roster: Roster, partitions: int = 4) -> tuple[Topic, ...]:
    """Every topic of a roster. `partitions` counts at creation only: a member's partition never changes."""
    declared = [topic for payer in roster.payers for topic in _of_payer(payer.name, payer.tenants, partitions)]
    for payer in roster.payers:
        declared += [
            Topic(name=outcomes_topic(plan.name), kind="outcomes", payer=payer.name, tenant=plan.name)
            for plan in payer.plans
        ]
    return (
        *declared,
        Topic(name=operations_topic(roster.space), kind="operations", append_time=True, writers=DOORS),
        Topic(name=checkpoints_topic(roster.space), kind="checkpoints", append_time=True, writers=STAFF),
        Topic(name=control_topic(roster.space), kind="control", retention_ms=HOUR_MS, readers=(AGENTS,)),
    )


def _of_payer(payer: str, tenants: tuple[str, ...], partitions: int) -> list[Topic]:
    inboxes = [
        Topic(
            name=inbox_topic(tenant),
            kind="inbox",
            payer=payer,
            tenant=tenant,
            partitions=partitions,
            retention_ms=INBOX_HOURS * HOUR_MS,
            append_time=True,
            readers=(AGENTS,),
            writers=(tenant,),
            trimmers=(AGENTS,),
        )
        for tenant in tenants
    ]
    return [
        Topic(
            name=log_topic(payer),
            kind="log",
            payer=payer,
            partitions=partitions,
            append_time=True,
            writers=DOORS,
        ),
        *inboxes,
        Topic(name=requests_topic(payer), kind="requests", payer=payer, append_time=True, writers=STAFF),
        Topic(name=payments_topic(payer), kind="payments", payer=payer, partitions=partitions),
        Topic(name=episodes_topic(payer), kind="episodes", payer=payer, partitions=partitions),
        Topic(name=settlements_topic(payer), kind="settlements", payer=payer),
        Topic(
            name=rejects_topic(payer),
            kind="rejects",
            payer=payer,
            append_time=True,
            message_bytes_max=REJECT_BYTES_MAX,
            readers=DOORS,
            writers=DOORS,
        ),
    ]


def granted(role: str, payer: str, plan: str) -> tuple[tuple[str, Literal["read", "write"]], ...]:
    """What a key of a role may do on Kafka, by the beginning of topics' names; nothing for a role that has no part.

    Each ends at the version, so that no other payer's name can begin so. The administrator of a plan, a payer with a
    plan, only sends: the topics that are written for payers hold every plan's.
    """
    if role == "employer" and plan:
        return ((_before_version(outcomes_topic(plan)), "read"),)
    if role == "payer" and plan:
        return ((_before_version(inbox_topic(plan)), "write"),)
    if role == "payer" and payer:
        read = (payments_topic(payer), episodes_topic(payer), settlements_topic(payer))
        return ((_before_version(inbox_topic(payer)), "write"), *((_before_version(name), "read") for name in read))
    return ()


def _before_version(topic: str) -> str:
    return topic.rpartition(".")[0] + "."


def principals(roster: Roster) -> tuple[str, ...]:
    """Every Kafka user that the platform makes, the super user aside."""
    return (*DOORS, *roster.tenants)
