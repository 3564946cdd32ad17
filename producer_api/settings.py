"""Settings of the API, on top of those that both doors share."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from crm.settings import Settings

#: RFC 7518 section 3.2: a key for HS256 holds at least 256 bits.
MIN_SECRET_BYTES = 32


class ApiSettings(Settings):
    """What the API needs. All problems are reported at once by `crm.settings.load`."""

    host: str = Field(default="127.0.0.1", alias="CRM_SYNC_API_HOST", description="address to listen on")
    port: int = Field(default=8000, ge=1, le=65_535, alias="CRM_SYNC_API_PORT", description="1 to 65535")
    threads: int = Field(default=16, ge=1, le=256, alias="CRM_SYNC_API_THREADS", description="requests served at once")
    database_wait_s: float = Field(
        default=30.0, ge=0, le=600, alias="CRM_SYNC_DATABASE_WAIT_S", description="seconds to wait for PostgreSQL"
    )
    migrations: Path = Field(
        default=Path(__file__).resolve().parents[1] / "migrations",
        alias="CRM_SYNC_MIGRATIONS",
        description="the folder `migrations` of this release; readiness compares the database with it",
    )
    # Declared before the secret: the secret's check looks at it.
    jwt_jwks_url: str | None = Field(
        default=None,
        alias="CRM_SYNC_JWT_JWKS_URL",
        description="https://… or a file path with a JSON Web Key Set; excludes CRM_SYNC_JWT_SECRET",
    )
    jwt_secret: SecretStr | None = Field(
        default=None,
        validate_default=True,
        alias="CRM_SYNC_JWT_SECRET",
        description="at least 32 bytes, for development; in production set CRM_SYNC_JWT_JWKS_URL instead",
    )
    jwt_audience: str = Field(default="crm-sync", min_length=1, alias="CRM_SYNC_JWT_AUDIENCE")
    jwt_issuer: str = Field(default="morket", min_length=1, alias="CRM_SYNC_JWT_ISSUER")

    @field_validator("jwt_jwks_url")
    @classmethod
    def _https_or_file(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "")
        if parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
            raise ValueError("must be https:// (http:// only on localhost) or a file path")
        return value or None

    @field_validator("jwt_secret")
    @classmethod
    def _one_source_of_keys(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        secret = value.get_secret_value() if value else ""
        if info.data.get("jwt_jwks_url"):
            if secret:
                raise ValueError("and CRM_SYNC_JWT_JWKS_URL exclude each other: leave one of them out")
            return None
        if not secret:
            raise ValueError("is not set, and neither is CRM_SYNC_JWT_JWKS_URL: set one of them")
        if len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"holds {len(secret.encode())} bytes, it must hold at least {MIN_SECRET_BYTES}")
        return value

    @property
    def origin(self) -> str:
        """Scheme, host and port under which people reach this service: those of the redirect base."""
        parts = urlsplit(self.redirect_base)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def callback_path(self) -> str:
        """The path of the redirect base; a CRM's callback is this, `/` and its slug."""
        return urlsplit(self.redirect_base).path.rstrip("/")

    @property
    def is_https(self) -> bool:
        """Whether browsers reach this service over TLS: decides on `Secure` and `__Host-` cookies."""
        return urlsplit(self.redirect_base).scheme == "https"
