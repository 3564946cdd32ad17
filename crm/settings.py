"""Settings that both doors share, read once from the environment; all problems are reported at once, by name."""

import os
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from schemas.topics import Topics


class SettingsProblem(Exception):
    """The environment does not hold what the program needs; the text names every variable and what to do."""


class OAuthClient(BaseModel):
    """The client that an operator registered at a CRM (RFC 6749 section 2.2)."""

    client_id: str
    client_secret: SecretStr


class Settings(BaseSettings):
    """What both doors need. The owner's variable names hold; ours start with `CRM_SYNC_`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    database_url: SecretStr = Field(alias="DATABASE_URL", description="postgresql://user:password@host:5432/name")
    kafka_bootstrap_servers: str = Field(
        default="", alias="KAFKA_BOOTSTRAP_SERVERS", description="host:9092,host2:9092"
    )
    master_keys: Annotated[SecretStr, NoDecode] = Field(
        alias="CRM_SYNC_MASTER_KEYS", description="k2:<base64 of 32 bytes>,k1:…; the first encrypts, all decrypt"
    )
    redirect_base: str = Field(
        alias="INTEGRATION_OAUTH_REDIRECT_BASE", description="https://host/api/v1/integrations/callback"
    )
    topic_prefix: str = Field(default="", alias="CRM_SYNC_TOPIC_PREFIX", description="put before every topic name")
    sandbox_origin: str | None = Field(
        default=None,
        alias="CRM_SANDBOX_ORIGIN",
        description="http://127.0.0.1:PORT of the sandbox CRMs; never in production",
    )
    call_timeout_s: float = Field(
        default=30.0, gt=0, le=300, alias="CRM_SYNC_CALL_TIMEOUT_S", description="of one CRM call"
    )
    connect_timeout_s: float = Field(
        default=5.0, gt=0, alias="CRM_SYNC_CONNECT_TIMEOUT_S", description="of its connection"
    )
    quota_share: float = Field(
        default=0.8,
        gt=0,
        le=1,
        alias="CRM_SYNC_QUOTA_SHARE",
        description="of a CRM account's day that commands may use",
    )
    salesforce_api_version: str = Field(
        default="v67.0", pattern=r"^v\d{2,3}\.0$", alias="CRM_SYNC_SALESFORCE_API_VERSION", description="vNN.0"
    )
    hubspot_api_version: str = Field(
        default="2026-09", pattern=r"^\d{4}-\d{2}$", alias="CRM_SYNC_HUBSPOT_API_VERSION", description="a dated version"
    )
    hubspot_pkce: bool = Field(
        default=False,
        alias="CRM_SYNC_HUBSPOT_PKCE",
        description="send PKCE; HubSpot documents it for some kinds of apps only",
    )
    hubspot_uninstall: bool = Field(
        default=False,
        alias="CRM_SYNC_HUBSPOT_UNINSTALL",
        description="disconnecting also uninstalls the app, and HubSpot writes the customer an e-mail",
    )
    log_level: str = Field(default="INFO", alias="CRM_SYNC_LOG_LEVEL", description="DEBUG, INFO, WARNING or ERROR")

    @field_validator("redirect_base")
    @classmethod
    def _https_or_localhost(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "https" and not _is_localhost(value):
            raise ValueError("must be an https:// URL (http:// only on localhost)")
        return value.rstrip("/")

    @field_validator("sandbox_origin")
    @classmethod
    def _sandbox_is_local(cls, value: str | None) -> str | None:
        if value and not _is_localhost(value):
            raise ValueError("must be http://127.0.0.1:PORT or http://localhost:PORT")
        return value.rstrip("/") if value else None

    @model_validator(mode="after")
    def _sandbox_only_at_home(self) -> Self:
        if self.sandbox_origin and not _is_localhost(self.redirect_base):
            raise ValueError("CRM_SANDBOX_ORIGIN and a public INTEGRATION_OAUTH_REDIRECT_BASE exclude each other")
        return self

    @property
    def topics(self) -> Topics:
        """The topic names, with the prefix."""
        return Topics(**{name: self.topic_prefix + default for name, default in _topic_defaults().items()})

    def oauth_client(self, slug: str) -> OAuthClient | None:
        """The client of one CRM, from `<SLUG>_CLIENT_ID` and `<SLUG>_CLIENT_SECRET`; None where neither is set.

        Read by pattern, so that a new CRM needs no edit here.
        """
        prefix = slug.upper().replace("-", "_")
        client_id, secret = env_or_file(f"{prefix}_CLIENT_ID"), env_or_file(f"{prefix}_CLIENT_SECRET")
        if not client_id or not secret:
            return None
        return OAuthClient(client_id=client_id, client_secret=SecretStr(secret))


AnySettings = TypeVar("AnySettings", bound=BaseSettings)


def load(cls: type[AnySettings], **overrides: Any) -> AnySettings:
    """Read `cls` from the environment; `<NAME>_FILE` may name a file that holds the value.

    Raises:
        SettingsProblem: with one line for each variable that is missing or wrong.
    """
    try:
        return cls(**{**_from_files(cls), **overrides})
    except ValidationError as problem:
        raise SettingsProblem(_explain(cls, problem)) from None


def env_or_file(name: str) -> str | None:
    """The variable `name`, else the stripped content of the file that `<name>_FILE` names, else None."""
    if os.environ.get(name):
        return os.environ[name]
    path = os.environ.get(f"{name}_FILE")
    return Path(path).read_text(encoding="utf-8").strip() if path else None


def _from_files(cls: type[BaseSettings]) -> dict[str, str]:
    """Values of variables that are set by `<NAME>_FILE` only."""
    found: dict[str, str] = {}
    for field in cls.model_fields.values():
        name = field.alias
        if name and not os.environ.get(name) and os.environ.get(f"{name}_FILE"):
            value = env_or_file(name)
            if value:
                found[name] = value
    return found


def _explain(cls: type[BaseSettings], problem: ValidationError) -> str:
    lines = []
    for error in problem.errors(include_url=False, include_input=False):
        name = str(error["loc"][0]) if error["loc"] else ""
        field = next((field for own, field in cls.model_fields.items() if name in (field.alias, own)), None)
        name = (field.alias if field else None) or name  # a default that is refused is reported by the field's own name
        what = "is not set" if error["type"] == "missing" else error["msg"].removeprefix("Value error, ")
        expected = f" (expected: {field.description})" if field and field.description else ""
        lines.append(f"  {name} {what}{expected}".rstrip() if name else f"  {what}")
    return "these settings need attention:\n" + "\n".join(lines)


def _is_localhost(url: str) -> bool:
    return urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}


def _topic_defaults() -> dict[str, str]:
    defaults = Topics()
    return {name: getattr(defaults, name) for name in Topics.__dataclass_fields__}
