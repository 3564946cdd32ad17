"""The part of the settings that a command needs: a laptop that only publishes needs a broker and nothing else."""

import os
from typing import Annotated
from uuid import UUID

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from crm.settings import load
from schemas.topics import Topics

DATABASE_URL = "DATABASE_URL"
API_URL = "CRM_SYNC_API_URL"
BOOTSTRAP_SERVERS = "KAFKA_BOOTSTRAP_SERVERS"
WORKSPACE = "CRM_SYNC_WORKSPACE"

_CONFIG = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class DatabaseAccess(BaseSettings):
    """How to reach PostgreSQL."""

    model_config = _CONFIG

    database_url: SecretStr = Field(alias=DATABASE_URL, description="postgresql://user:password@host:5432/name")


class KafkaAccess(BaseSettings):
    """How to reach Kafka, and what the topics are called."""

    model_config = _CONFIG

    kafka_bootstrap_servers: str = Field(alias=BOOTSTRAP_SERVERS, min_length=1, description="host:9092,host2:9092")
    topic_prefix: str = Field(default="", alias="CRM_SYNC_TOPIC_PREFIX")

    @property
    def topics(self) -> Topics:
        """The topic names, with the prefix."""
        names = {name: getattr(Topics(), name) for name in Topics.__dataclass_fields__}
        return Topics(**{name: self.topic_prefix + default for name, default in names.items()})


class ApiAccess(BaseSettings):
    """How to reach the API of this service, and who is asking (a JWT, see `crm-sync token`)."""

    model_config = _CONFIG

    api_url: str = Field(alias=API_URL, description="http://127.0.0.1:8000")
    api_token: Annotated[SecretStr, NoDecode] = Field(
        alias="CRM_SYNC_API_TOKEN", description="a JWT; make one for development with: crm-sync token"
    )

    @field_validator("api_url")
    @classmethod
    def _is_http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/")


class WorkspaceAccess(BaseSettings):
    """The workspace to act for."""

    model_config = _CONFIG

    workspace: UUID = Field(
        alias=WORKSPACE, description="a workspace id; or give --workspace; list: crm-sync workspaces list"
    )


def workspace_or_default(given: UUID | None) -> UUID:
    """`given`, else the one that CRM_SYNC_WORKSPACE names.

    Raises:
        SettingsProblem: Neither is there.
    """
    return given if given is not None else load(WorkspaceAccess).workspace


def is_set(name: str) -> bool:
    """Whether an environment variable, or the file variable beside it, holds something."""
    return bool(os.environ.get(name) or os.environ.get(f"{name}_FILE"))
