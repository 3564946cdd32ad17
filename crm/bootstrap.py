"""The one wiring function of the inside; every part can be replaced by keyword, nothing is built at import."""

from dataclasses import dataclass
from datetime import UTC, datetime

from crm.quota import QuotaGuard
from crm.registry import Registry, build_registry
from crm.settings import Settings
from crm.store.engine import Engine, create_engine
from crm.sync import SyncRunner
from crm.tokens import TokenSource
from crm.vault import MasterKeys, Vault
from schemas.topics import Topics

#: A refresh's lease must outlive all calls of one refresh (token, introspection, identity) and the waits between.
REFRESH_LEASE_CALLS = 4


@dataclass(frozen=True, slots=True)
class Parts:
    """The inside, put together: what both doors stand on."""

    engine: Engine
    topics: Topics
    vault: Vault
    registry: Registry
    tokens: TokenSource
    runner: SyncRunner


def build(
    settings: Settings,
    *,
    application_name: str,
    pool_size: int = 8,
    engine: Engine | None = None,
    registry: Registry | None = None,
    vault: Vault | None = None,
) -> Parts:
    """Put the inside together from settings.

    Raises:
        SettingsProblem: the master keys cannot be read.
    """
    engine = engine or create_engine(
        settings.database_url.get_secret_value(), pool_size=pool_size, application_name=application_name
    )
    registry = registry or build_registry(settings)
    vault = vault or Vault(MasterKeys.parse(settings.master_keys.get_secret_value()))
    tokens = TokenSource(
        engine, vault, registry, topics=settings.topics, lease_s=REFRESH_LEASE_CALLS * settings.call_timeout_s
    )
    return Parts(
        engine,
        settings.topics,
        vault,
        registry,
        tokens,
        SyncRunner(engine, registry, tokens, QuotaGuard(settings.quota_share)),
    )


def utc_now() -> datetime:
    """The time, UTC: the clock of production."""
    return datetime.now(UTC)
