"""Access tokens for development, signed with the shared secret; in production the host product's issuer makes them."""

import time
import uuid
from collections.abc import Iterable
from uuid import UUID

import jwt


def issue(
    secret: str,
    *,
    workspace_id: UUID | str,
    scopes: Iterable[str],
    audience: str = "crm-sync",
    issuer: str = "morket",
    subject: str = "developer",
    ttl_s: int = 3600,
) -> str:
    """An access token (RFC 9068 claims) for one workspace, signed with HS256.

    Args:
        secret: Of `CRM_SYNC_JWT_SECRET`.
        workspace_id: The workspace that it is good for.
        scopes: See `producer_api.scopes.Scope`.
        audience: As `CRM_SYNC_JWT_AUDIENCE` says.
        issuer: As `CRM_SYNC_JWT_ISSUER` says.
        subject: Who asks; shown on the page that a person confirms.
        ttl_s: Seconds until it expires.
    """
    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "iat": now,
        "nbf": now,
        "exp": now + ttl_s,
        "jti": str(uuid.uuid4()),
        "workspace_id": str(workspace_id),
        "scope": " ".join(scopes),
    }
    return jwt.encode(claims, secret, algorithm="HS256")
