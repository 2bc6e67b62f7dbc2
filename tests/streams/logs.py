"""Logs made up for tests: the records of every partition of one payer, as Kafka would give them."""

from __future__ import annotations

import random
from base64 import b32encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any
from uuid import UUID, uuid5

from contracts.envelope import Envelope, broadcast_copy_id, broadcast_fact_id, log_id, schema_urn
from contracts.events import (
    ClaimLine,
    ContractAdopted,
    DayClosed,
    EnrollmentChanged,
    Event,
    HoursWorked,
    LeaveChanged,
    LogOpened,
    MemberDescribed,
    PharmacyClaimReceived,
    PracticeParticipationChanged,
    ProfessionalClaimReceived,
    ReturnToWorkReported,
    TermsAdopted,
    WorkScheduleSet,
    sealed_fields,
)
from contracts.roster import bundled_sheet, contract_digest
from streams.codec import CONTENT_TYPE
from streams.output import partition_of

BREAST, FILL = "C50911", "00054016401"
START = date(2024, 1, 2)


@dataclass(frozen=True)
class Record:
    """As much of a consumer record as an agent reads."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = (CONTENT_TYPE,)


@dataclass
class Log:
    """One payer's log; `records[partition]` are in order. `space` makes its ids its own."""

    payer: str = "medicare"
    contract: str = "medicare-eom"
    partitions: int = 4
    plan: str = ""
    records: dict[int, list[Record]] = field(default_factory=dict)
    count: int = 0

    def __post_init__(self) -> None:
        self.records = {partition: [] for partition in range(self.partitions)}

    def token(self, name: str) -> str:
        """A member's token."""
        digest = blake2b(f"{self.plan}{name}".encode(), digest_size=16).digest()
        return b32encode(digest).decode().lower().rstrip("=")

    def raw(self, partition: int, value: bytes, key: bytes | None = None) -> Record:
        """Append bytes as they are."""
        records = self.records[partition]
        self.count += 1
        records.append(Record(len(records), 1_700_000_000_000 + self.count, key, value))
        return records[-1]

    def tell(self, name: str, event: Event, fact: str = "", digest: str | None = None) -> Record:
        """Append a fact about a member. The same `fact` name again is the same id."""
        token = self.token(name)
        value = self.envelope(event, log_id(self.payer, "test", fact or f"f{self.count}", token), token, digest=digest)
        return self.raw(self.partition(name), value, token.encode())

    def partition(self, name: str) -> int:
        """Where a member's facts land."""
        return partition_of(self.token(name).encode(), self.partitions)

    def broadcast(self, event: Event, fact: str = "") -> None:
        """Append a fact to every partition."""
        fact_id = broadcast_fact_id(self.payer, "test", fact or f"b{self.count}")
        for partition in range(self.partitions):
            copy_id = broadcast_copy_id(fact_id, partition)
            self.raw(partition, self.envelope(event, copy_id, None, fact_id=fact_id), b"")

    def envelope(
        self, event: Event, event_id: str, token: str | None, *, fact_id: str | None = None, digest: str | None = None
    ) -> bytes:
        """The stored bytes of one event."""
        data = event.model_dump(mode="json", exclude=set(sealed_fields(type(event))))
        content = blake2b(repr(sorted(data.items())).encode(), digest_size=16).hexdigest()
        made = Envelope(
            id=event_id,
            source=f"/carepact/{self.payer}/test",
            type=event.type_name(),
            dataschema=schema_urn(type(event)),
            subject=token,
            payer=self.payer,
            plan=self.plan if token else "",
            contentdigest=digest or content,
            factid=fact_id,
            data=data,
        )
        return made.model_dump_json(exclude_none=True).encode()

    def open(self, opened: str = "log-1") -> None:
        """The first records: the log's name, and what is adopted."""
        for partition in range(self.partitions):
            opening = LogOpened(log_id=opened, payer=self.payer, partition=partition)
            self.raw(partition, self.envelope(opening, str(uuid5(UUID(int=partition), opened)), None))
        self.broadcast(ContractAdopted(contract=self.contract, digest=contract_digest(self.contract), build="test"))
        version, digest, content = bundled_sheet(self.contract)
        self.broadcast(TermsAdopted(contract=self.contract, sheet_version=version, digest=digest, content=content))
        for practice in ("P1", "P2", "P3"):
            self.broadcast(PracticeParticipationChanged(practice=practice, from_on=date(2023, 7, 1)))

    def batches(self, size: int) -> Iterator[dict[int, Sequence[Record]]]:
        """The log cut into batches of `size` records, all partitions in turn."""
        at = dict.fromkeys(self.records, 0)
        while any(at[p] < len(records) for p, records in self.records.items()):
            batch: dict[int, Sequence[Record]] = {}
            room = size
            for partition in sorted(self.records, key=lambda p: (at[p], p)):
                share = max(1, room // self.partitions) if size >= self.partitions else room
                part = self.records[partition][at[partition] : at[partition] + min(room, share)]
                if part:
                    batch[partition] = part
                    at[partition] += len(part)
                    room -= len(part)
                if room <= 0:
                    break
            yield batch


def claim(day: date, code: str = "J9035", **more: Any) -> ProfessionalClaimReceived:
    """A physician's claim of one line."""
    given: dict[str, Any] = {
        "claim_id": f"c-{day}-{code}",
        "family": f"c-{day}-{code}",
        "effective_on": day,
        "from_on": day,
        "through_on": day,
        "billing_tin": "P1",
        "diagnoses": (BREAST,),
    } | more
    line = ClaimLine(
        line=1,
        service_on=day,
        code=code,
        diagnoses=(BREAST,),
        units=Decimal(1),
        allowed_cents=12_000,
        paid_cents=given.pop("paid_cents", 10_000),
        place_of_service="11",
        rendering_tin=given["billing_tin"],
    )
    return ProfessionalClaimReceived(lines=(line,), **given)


def population(log: Log, members: int = 20, facts: int = 20, seed: int = 7) -> Log:
    """Open the log and tell some lives: coverage, therapy, visits, monthly services, voids, late and lost facts."""
    chance = random.Random(seed)
    log.open()
    names = [f"m{i}" for i in range(members)]
    for name in names:
        for kind in ("part_a", "part_b", "plan"):
            log.tell(name, EnrollmentChanged(coverage=kind, from_on=date(2020, 1, 1)))
    told: dict[str, list[ProfessionalClaimReceived]] = {name: [] for name in names}
    for step in range(facts):
        chance.shuffle(names)
        if step % 5 == 4:
            log.broadcast(DayClosed(through_on=START + timedelta(days=step * 12)))
        if step == facts * 2 // 3:
            log.broadcast(PracticeParticipationChanged(practice="P1", from_on=date(2024, 5, 1), participates=False))
        for name in names:
            _one(log, name, step, told[name], chance)
            if log.plan:
                _work(log, name, step)
    return log


def _work(log: Log, name: str, step: int) -> None:
    """An employee's record at some steps: most are absent, return, and are paid for; some lapse, some correct hours."""
    luck, away = int(name[1:]), date(2024, 1, 15)
    leave: dict[str, Any] = {"leave_type": "fmla", "continuity": "continuous"}
    match step:
        case 1:
            log.tell(name, WorkScheduleSet(record_id="s", from_on=date(2023, 1, 2), weekly_hours=Decimal(40)))
        case 3:
            log.tell(name, LeaveChanged(leave_id="a", status="opened", from_on=away, **leave))
        case 6:
            back = date(2024, 3, 4) + timedelta(days=luck)
            duty: Any = "full" if luck % 3 else "partial_hours"
            log.tell(name, ReturnToWorkReported(record_id="r", source="carrier", returned_on=back, duty_status=duty))
        case 12 | 13:
            day = date(2023, step - 2, 6)
            for version in (1, 2)[: 1 + luck % 2]:
                on = day + timedelta(days=30 * version)
                said: dict[str, Any] = {"record_id": f"h{step}", "record_version": version, "pay_code": "worked"}
                log.tell(name, HoursWorked(worked_on=on, hours=Decimal("7.5"), **said))
        case 18 if luck % 4 == 2:
            again = date(2024, 4, 15)
            log.tell(name, LeaveChanged(leave_id="b", status="opened", from_on=again, **leave))
        case _:
            pass


def _one(log: Log, name: str, step: int, told: list[ProfessionalClaimReceived], chance: random.Random) -> None:
    day = START + timedelta(days=step * 12 + chance.randrange(-40, 12))
    luck = chance.random()
    if luck < 0.75 or not told:
        code = chance.choice(("J9035", "99214", "99214", "M0010", "M0010", "M0010", "77427"))
        made = claim(
            day,
            code,
            claim_id=f"c{log.count}",
            family=f"c{log.count}",
            billing_tin=chance.choice(("P1", "P1", "P2")),
            paid_cents=chance.randrange(100, 50_000),
        )
        told.append(made)
        log.tell(name, made, f"{name}-{made.claim_id}")
        if chance.random() < 0.1:
            log.tell(name, made, f"{name}-{made.claim_id}")
        elif chance.random() < 0.05:
            log.tell(name, made.model_copy(update={"denied": True}), f"{name}-{made.claim_id}")
    elif luck < 0.88:
        old = chance.choice(told)
        action = chance.choice(("void", "replacement"))
        again = {"action": action, "claim_id": f"c{log.count}", "replaces": old.claim_id}
        log.tell(name, old.model_copy(update=again))
    elif luck < 0.93:
        log.tell(name, PharmacyClaimReceived(claim_id=f"c{log.count}", family=f"c{log.count}", effective_on=day,
                                             filled_on=day, ndc=FILL, low_income_subsidy_cents=500))  # fmt: skip
    elif luck < 0.95:
        log.tell(name, EnrollmentChanged(coverage="part_b", from_on=day, covered=chance.random() < 0.5))
    elif luck < 0.96:
        log.tell(name, MemberDescribed(died_on=day + timedelta(days=200)))
    else:
        log.raw(log.partition(name), b'{"no": "event"}', log.token(name).encode())


def merged(records: Mapping[int, Sequence[Record]], more: Mapping[int, Sequence[Record]]) -> dict[int, list[Record]]:
    """Two batches as one."""
    return {p: [*records.get(p, ()), *more.get(p, ())] for p in sorted({*records, *more})}
