"""Settings of the worker and of the relay."""

from typing import Self

from pydantic import Field, model_validator

from crm.settings import Settings

_DAY_S = 86_400.0


class KafkaSettings(Settings):
    """What worker and relay share."""

    kafka_bootstrap_servers: str = Field(alias="KAFKA_BOOTSTRAP_SERVERS", description="host:9092,host2:9092")
    health_port: int = Field(
        default=0, ge=0, le=65535, alias="CRM_SYNC_HEALTH_PORT", description="serves /healthz and /readyz; 0 = off"
    )
    health_host: str = Field(
        default="127.0.0.1", alias="CRM_SYNC_HEALTH_HOST", description="address of the health pages"
    )


class WorkerSettings(KafkaSettings):
    """How a worker of the consumer group behaves. Times in seconds."""

    group_id: str = Field(
        default="crm-sync", alias="CRM_SYNC_GROUP_ID", description="the consumer group of the workers"
    )
    instance_id: str | None = Field(
        default=None,
        alias="CRM_SYNC_INSTANCE_ID",
        description="stable name of this worker (static membership), e.g. its pod",
    )
    session_timeout_s: float = Field(
        default=30.0,
        ge=1,
        alias="CRM_SYNC_SESSION_TIMEOUT_S",
        description="silence after which Kafka gives a worker's partitions to others",
    )
    max_poll_interval_s: float = Field(
        default=300.0,
        ge=10,
        alias="CRM_SYNC_MAX_POLL_INTERVAL_S",
        description="the same for a worker that stops polling",
    )
    concurrency: int = Field(default=64, ge=1, le=1000, alias="CRM_SYNC_CONCURRENCY", description="commands in flight")
    lease_s: float = Field(default=60.0, gt=0, alias="CRM_SYNC_LEASE_S", description="longer than the call timeout")
    lease_renewal_s: float = Field(
        default=2.0, gt=0, alias="CRM_SYNC_LEASE_RENEWAL_S", description="how often leases are renewed"
    )
    retry_for_s: float = Field(
        default=900.0, ge=0, alias="CRM_SYNC_RETRY_FOR_S", description="from when it was ready first"
    )
    expire_after_s: float = Field(
        default=_DAY_S,
        gt=0,
        alias="CRM_SYNC_EXPIRE_AFTER_S",
        description="a command without expires_at expires this long after its timestamp",
    )
    claim_retention_s: float = Field(
        default=30 * _DAY_S,
        gt=0,
        alias="CRM_SYNC_CLAIM_RETENTION_S",
        description="how long commands are remembered; older messages are dead letters",
    )
    lane_backlog: int = Field(
        default=250,
        ge=1,
        alias="CRM_SYNC_LANE_BACKLOG",
        description="commands that may wait behind one that cannot go on",
    )
    max_message_bytes: int = Field(
        default=1_000_000,
        ge=10_000,
        alias="CRM_SYNC_MAX_MESSAGE_BYTES",
        description="a larger command is a dead letter",
    )
    max_queued: int = Field(
        default=10_000, ge=2, alias="CRM_SYNC_MAX_QUEUED", description="messages in memory, over all partitions"
    )
    max_queued_bytes: int = Field(
        default=64_000_000, ge=1_000_000, alias="CRM_SYNC_MAX_QUEUED_BYTES", description="bytes of them"
    )
    revoke_grace_s: float = Field(
        default=3.0,
        ge=0,
        alias="CRM_SYNC_REVOKE_GRACE_S",
        description="for what is in flight when partitions are revoked",
    )
    stop_grace_s: float = Field(
        default=25.0, ge=0, alias="CRM_SYNC_STOP_GRACE_S", description="for what is in flight at SIGTERM"
    )
    start_timeout_s: float = Field(
        default=30.0, ge=1, alias="CRM_SYNC_START_TIMEOUT_S", description="to reach PostgreSQL and Kafka at start"
    )

    @model_validator(mode="after")
    def _lease_outlives_a_call(self) -> Self:
        if self.lease_s < self.call_timeout_s + 2 * self.lease_renewal_s:
            raise ValueError(
                "CRM_SYNC_LEASE_S must be at least CRM_SYNC_CALL_TIMEOUT_S + 2 x CRM_SYNC_LEASE_RENEWAL_S, "
                "or no CRM call could ever leave"
            )
        return self


class RelaySettings(KafkaSettings):
    """How a relay behaves. Times in seconds."""

    relay_id_prefix: str = Field(
        default="crm-sync", alias="CRM_SYNC_RELAY_PREFIX", description="of the transactional ids; one per installation"
    )
    batch_size: int = Field(
        default=500, ge=1, le=5000, alias="CRM_SYNC_RELAY_BATCH", description="most messages of one transaction"
    )
    scan_s: float = Field(
        default=1.0,
        gt=0,
        alias="CRM_SYNC_RELAY_SCAN_S",
        description="how often the outbox is looked at without being woken",
    )
    transaction_timeout_s: float = Field(
        default=10.0, ge=1, alias="CRM_SYNC_TRANSACTION_TIMEOUT_S", description="of a Kafka transaction"
    )
    watchdog_s: float = Field(default=60.0, ge=5, alias="CRM_SYNC_RELAY_WATCHDOG_S", description="no progress: exit")
    idle_session_s: float = Field(
        default=20.0, ge=2, alias="CRM_SYNC_RELAY_IDLE_S", description="a stopped relay loses its shards after this"
    )
    keep_sent_s: float = Field(
        default=_DAY_S, gt=0, alias="CRM_SYNC_KEEP_SENT_S", description="sent rows are deleted after this"
    )
    start_timeout_s: float = Field(
        default=30.0, ge=1, alias="CRM_SYNC_START_TIMEOUT_S", description="to reach PostgreSQL and Kafka at start"
    )
