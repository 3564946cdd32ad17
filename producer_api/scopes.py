"""The scopes that an access token can carry (RFC 6749 section 3.3)."""

from enum import StrEnum


class Scope(StrEnum):
    """What a caller may do within the workspaces that its token names."""

    INTEGRATIONS_READ = "integrations:read"
    INTEGRATIONS_WRITE = "integrations:write"
    SYNC_WRITE = "sync:write"
    SYNC_DELETE = "sync:delete"
    #: All of the above, still only in the workspaces that the token names.
    ADMIN = "admin"
