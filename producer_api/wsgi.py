"""Where the program is put together: the one place that names what is used for each part."""

from typing import Any

from crm.authorize import Authorizer
from crm.commands import CommandDoor
from crm.registry import build_registry
from crm.settings import load
from crm.store.engine import create_engine
from crm.sync import SyncRunner
from crm.tokens import TokenSource
from crm.vault import MasterKeys, Vault
from producer_api import logs
from producer_api.access import TokenCheck
from producer_api.app import create_app
from producer_api.key_sets import key_source
from producer_api.parts import Parts
from producer_api.settings import ApiSettings


def build(settings: ApiSettings | None = None) -> Any:
    """The application on the parts that the settings name, by default those of the environment.

    Raises:
        SettingsProblem: naming every variable that is missing or wrong.
    """
    settings = settings or load(ApiSettings)
    logs.configure(settings.log_level)
    return create_app(build_parts(settings))


def build_parts(settings: ApiSettings) -> Parts:
    """Every part, as production uses it. Nothing is called yet: no database, no CRM, no key set."""
    # One connection for each request that is served at once; create_engine may open as many again for a moment.
    pool_size = max(4, settings.threads)
    engine = create_engine(
        settings.database_url.get_secret_value(), pool_size=pool_size, application_name="crm-sync-api"
    )
    vault = Vault(MasterKeys.parse(settings.master_keys.get_secret_value()))
    registry = build_registry(settings)
    secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
    return Parts(
        settings=settings,
        engine=engine,
        registry=registry,
        authorizer=Authorizer(engine, vault, registry, settings),
        commands=CommandDoor(engine, settings.topics),
        runner=SyncRunner(engine, registry, TokenSource(engine, vault, registry, topics=settings.topics)),
        tokens=TokenCheck(
            key_source(secret, settings.jwt_jwks_url), audience=settings.jwt_audience, issuer=settings.jwt_issuer
        ),
    )
