"""`partition_owner`: which worker may work a partition, under which epoch, and until when its calls may run.

Taking a partition raises its epoch. Every write of a worker checks that the epochs it works under are still in force,
under a share lock: a taker waits for that lock, so each write is wholly before the takeover or is refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True, order=True)
class PartitionId:
    """A partition of a topic."""

    topic: str
    partition: int


#: A partition under one epoch: what a write stands on.
Tenure = tuple[PartitionId, int]

_MAKE = text("""
INSERT INTO partition_owner (topic, partition, epoch, member, lease_until, resume_after)
VALUES (:topic, :partition, 0, :member, clock_timestamp(), clock_timestamp())
ON CONFLICT (topic, partition) DO NOTHING
""")

# FOR UPDATE waits for the share locks of all writes under the old epoch; renewing a lease does not.
_LOCK = text("SELECT 1 FROM partition_owner WHERE topic = :topic AND partition = :partition FOR UPDATE")

_TAKE = text("""
UPDATE partition_owner SET
  epoch = epoch + 1,
  member = :member,
  resume_after = greatest(resume_after, lease_until),
  lease_until = clock_timestamp() + make_interval(secs => :lease_s)
 WHERE topic = :topic AND partition = :partition
RETURNING epoch
""")

_RENEW = text("""
UPDATE partition_owner SET lease_until = clock_timestamp() + make_interval(secs => :lease_s)
 WHERE topic = :topic AND partition = :partition AND epoch = :epoch
""")

_RELEASE = text("""
UPDATE partition_owner SET lease_until = least(lease_until, clock_timestamp())
 WHERE topic = :topic AND partition = :partition AND epoch = :epoch
""")

# The weakest share lock: a taker waits for it, the owner's own lease renewal does not.
_EPOCH_FOR_SHARE = text("""
SELECT epoch FROM partition_owner WHERE topic = :topic AND partition = :partition FOR KEY SHARE""")


def take(connection: Connection, partition: PartitionId, *, member: str, lease_s: float) -> int:
    """Become the owner; returns the new epoch. Commands that were running resume when the former lease is over."""
    values = {"topic": partition.topic, "partition": partition.partition, "member": member, "lease_s": lease_s}
    connection.execute(_MAKE, values)
    connection.execute(_LOCK, values)
    return int(connection.execute(_TAKE, values).scalar_one())


def renew(connection: Connection, partition: PartitionId, *, epoch: int, lease_s: float) -> bool:
    """Prolong the lease by `lease_s` seconds from now; False when another epoch is in force."""
    values = {"topic": partition.topic, "partition": partition.partition, "epoch": epoch, "lease_s": lease_s}
    return connection.execute(_RENEW, values).rowcount == 1


def release(connection: Connection, partition: PartitionId, *, epoch: int) -> None:
    """End the lease now: nothing of ours runs any more, so the next owner need not wait."""
    connection.execute(_RELEASE, {"topic": partition.topic, "partition": partition.partition, "epoch": epoch})


def still_owned(connection: Connection, tenures: Iterable[Tenure]) -> frozenset[Tenure]:
    """Those of the tenures that are still in force; held under a share lock until the transaction ends.

    Locked in the order of topic and partition, so that two group commits never wait for each other. A partition that
    was taken again may come with both epochs: what an old flight brings must not speak for the new epoch, nor against.
    """
    asked = frozenset(tenures)
    in_force = {(partition, _epoch(connection, partition)) for partition in sorted({one for one, _ in asked})}
    return asked & in_force


def _epoch(connection: Connection, partition: PartitionId) -> int | None:
    row = connection.execute(_EPOCH_FOR_SHARE, {"topic": partition.topic, "partition": partition.partition}).first()
    return int(row.epoch) if row else None
