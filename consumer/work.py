"""One command on its way through this worker."""

from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from consumer.decode import Readable, Refusal
from crm.model import RecordOutcome
from crm.store.claims import ClaimRequest
from crm.store.links import RecordLink
from crm.store.ownership import PartitionId
from crm.text import scrub
from schemas.command import PushCommand


@dataclass(slots=True, eq=False)
class Work:
    """A readable command with its place in Kafka, and what its tries have brought so far.

    Attributes:
        epoch: Of the partition, when the message was taken; the group commit drops work of another epoch.
        size: Bytes of its message.
        claim_id: The command id, or the id under which the refusal of a reused command id is answered.
        attempt: Of the claim in force; the group commit must name it.
        resumed_at: End of the last wait for a person or a quota; `retry_for` counts from there.
        overflows: It is refused because too many wait before it, so it does not wait behind them.
        outcomes: Final outcomes by record index; only what is missing is sent again.
    """

    partition: PartitionId
    offset: int
    epoch: int
    readable: Readable
    size: int = 0
    claim_id: str = ""
    attempt: int = 0
    tries: int = 0
    refusal: Refusal | None = None
    first_ready_at: datetime | None = None
    resumed_at: datetime | None = None
    started_at: datetime | None = None
    api_calls: int = 0
    overflows: bool = False
    outcomes: dict[int, RecordOutcome] = field(default_factory=dict)
    links: list[RecordLink] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.claim_id = self.claim_id or self.readable.command_id
        self.refusal = self.refusal or self.readable.refusal

    @property
    def lane(self) -> tuple[UUID, str]:
        """Workspace and CRM: commands of one connection keep their order."""
        name = self.readable.integration or ""
        return self.readable.workspace_id, f"{name} (overflow)" if self.overflows else name

    @property
    def claim_key(self) -> tuple[UUID, str]:
        """Primary key of its claim."""
        return self.readable.workspace_id, self.claim_id

    def claim_request(self) -> ClaimRequest:
        """What to ask of `crm.store.claims`."""
        return ClaimRequest(
            workspace_id=self.readable.workspace_id,
            claim_id=self.claim_id,
            body_hash=self.readable.body_hash,
            integration=scrub(self.readable.integration or "", 50) or None,
            partition=self.partition,
            offset=self.offset,
            epoch=self.epoch,
        )

    def refuse_as_reused(self) -> None:
        """The id stands for another body: answer under an id of its own, once for each such body."""
        digest = sha256(self.readable.command_id.encode() + self.readable.body_hash).hexdigest()
        self.claim_id = f"reused:{digest}"
        self.refusal = Refusal(
            "command_id_reused", f"the id {self.readable.command_id} was used before with another body", "command_id"
        )

    def left(self) -> list[int] | None:
        """Indices of the records that have no final outcome yet; None for a pull."""
        command = self.readable.command
        if not isinstance(command, PushCommand):
            return None
        return [index for index in range(len(command.records)) if index not in self.outcomes]
