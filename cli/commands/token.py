"""`crm-sync token`: a JWT for the API, for development."""

from typing import Annotated
from uuid import UUID

import click
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cli.output import Output, takes_output
from cli.settings import workspace_or_default
from crm.settings import load
from producer_api.development_tokens import issue
from producer_api.scopes import Scope
from producer_api.settings import MIN_SECRET_BYTES


class _Signing(BaseSettings):
    """What a token is signed and named with: the API's own settings."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    secret: Annotated[SecretStr, NoDecode] = Field(
        alias="CRM_SYNC_JWT_SECRET",
        min_length=MIN_SECRET_BYTES,
        description=f"the one of the API, at least {MIN_SECRET_BYTES} bytes",
    )
    audience: str = Field(default="crm-sync", alias="CRM_SYNC_JWT_AUDIENCE")
    issuer: str = Field(default="morket", alias="CRM_SYNC_JWT_ISSUER")


@click.command()
@click.option("--workspace", type=click.UUID, help="Workspace id; default: CRM_SYNC_WORKSPACE.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    default=[Scope.ADMIN.value],
    show_default=True,
)
@click.option("--subject", default="developer", show_default=True, help="Shown to the person who connects a CRM.")
@click.option(
    "--ttl", type=click.IntRange(60, 30 * 86_400), default=3600, show_default=True, help="Seconds it is good for."
)
@takes_output
def token(out: Output, *, workspace: UUID | None, scopes: tuple[str, ...], subject: str, ttl: int) -> None:
    """Print a JWT for one workspace, signed with CRM_SYNC_JWT_SECRET. In production your own issuer makes tokens."""
    signing = load(_Signing)
    workspace_id = workspace_or_default(workspace)
    made = issue(
        signing.secret.get_secret_value(),
        workspace_id=workspace_id,
        scopes=scopes,
        audience=signing.audience,
        issuer=signing.issuer,
        subject=subject,
        ttl_s=ttl,
    )
    if not out.as_json:
        click.echo(made)  # one line, never wrapped: it is pasted
    out.document({"access_token": made, "token_type": "Bearer", "expires_in": ttl, "workspace_id": workspace_id})
