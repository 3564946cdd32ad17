"""Where the program is put together: the one place that names what is used for each part.

`producer_api.serve` runs it; another WSGI server can, too: `gunicorn "producer_api.wsgi:build()"`.
"""

from typing import Any

from crm import bootstrap, logs
from crm.authorize import Authorizer
from crm.commands import CommandDoor
from crm.settings import load
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
    # One connection for each request that is served at once; the engine may open as many again for a moment.
    inside = bootstrap.build(settings, application_name="crm-sync-api", pool_size=max(4, settings.threads))
    secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
    return Parts(
        settings=settings,
        engine=inside.engine,
        registry=inside.registry,
        authorizer=Authorizer(inside.engine, inside.vault, inside.registry, settings),
        commands=CommandDoor(inside.engine, inside.topics),
        runner=inside.runner,
        tokens=TokenCheck(
            key_source(secret, settings.jwt_jwks_url), audience=settings.jwt_audience, issuer=settings.jwt_issuer
        ),
    )
