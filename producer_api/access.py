"""Who calls, and what for: the bearer token (RFC 6750) as a JWT (RFC 7519, RFC 8725), checked whole."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt

from producer_api.key_sets import KeySource, KeysUnavailable, UnknownKey
from producer_api.problems import Problem, workspace_not_found
from producer_api.scopes import Scope

#: Clocks of two machines may differ by this much.
LEEWAY_S = 30
MAX_TOKEN_CHARS = 8_192
_REQUIRED = ["exp", "aud", "iss", "sub"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom the token names.

    Attributes:
        subject: `sub`; written into audit rows.
        name: For people: `name`, else `email`, else `sub`.
        workspaces: `workspace_id` and `workspaces`.
        scopes: `scope` (RFC 8693 section 4.2), split.
    """

    subject: str
    name: str
    workspaces: frozenset[UUID]
    scopes: frozenset[str]

    def require(self, workspace_id: UUID, scope: Scope) -> None:
        """Let the caller act in a workspace.

        Raises:
            Problem: 404 when the token does not name the workspace (the same as for one that does not exist), 403 when
                the scope is missing.
        """
        if workspace_id not in self.workspaces:
            raise workspace_not_found()
        if scope not in self.scopes and Scope.ADMIN not in self.scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{scope.value}"'
            detail = f"the access token needs the scope {scope.value}"
            raise Problem(403, "insufficient_scope", detail, headers={"WWW-Authenticate": challenge})


class TokenCheck:
    """Checks bearer tokens: signature, algorithm, audience, issuer, expiry, not-before, workspaces and scopes."""

    def __init__(self, keys: KeySource, *, audience: str, issuer: str) -> None:
        self._keys = keys
        self._audience = audience
        self._issuer = issuer

    def caller(self, authorization: str | None) -> Caller:
        """The caller that an `Authorization` header names.

        Raises:
            Problem: 401 with the reason; 503 when the key set cannot be read.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _unauthenticated("send an access token: `Authorization: Bearer <JWT>`", error=None)
        claims = self._claims(token.strip())
        return Caller(
            subject=_short_text(claims["sub"]),
            name=_short_text(claims.get("name") or claims.get("email") or claims["sub"]),
            workspaces=_workspaces(claims),
            scopes=_scopes(claims),
        )

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN_CHARS:
            raise _unauthenticated("the access token is too long")
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in self._keys.algorithms:
                raise _unauthenticated("the access token is signed with an algorithm that is not accepted here")
            return jwt.decode(
                token,
                self._keys.key_for(header),
                algorithms=[header["alg"]],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"require": _REQUIRED},
            )
        except KeysUnavailable as problem:
            raise Problem(503, "keys_unavailable", str(problem), headers={"Retry-After": "30"}) from None
        except UnknownKey:
            raise _unauthenticated("the access token is signed with a key that is not known here") from None
        except jwt.PyJWTError as problem:
            raise _unauthenticated(_reason(problem)) from None


_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "the access token has expired"),
    (jwt.ImmatureSignatureError, "the access token is not valid yet"),
    (jwt.InvalidAudienceError, "the access token is meant for another service (claim aud)"),
    (jwt.InvalidIssuerError, "the access token is from an issuer that is not accepted here (claim iss)"),
    (jwt.InvalidSignatureError, "the access token's signature is not valid"),
    (jwt.DecodeError, "the access token is not a JSON Web Token"),
)


def _reason(problem: jwt.PyJWTError) -> str:
    if isinstance(problem, jwt.MissingRequiredClaimError):
        return f"the access token lacks the claim {problem.claim}"
    return next((text for kind, text in _REASONS if isinstance(problem, kind)), "the access token is not valid")


def _unauthenticated(detail: str, *, error: str | None = "invalid_token") -> Problem:
    challenge = "Bearer" + (f' error="{error}", error_description="{detail}"' if error else "")
    return Problem(401, error or "token_missing", detail, headers={"WWW-Authenticate": challenge})


def _workspaces(claims: dict[str, Any]) -> frozenset[UUID]:
    listed = claims.get("workspaces")
    named = [claims.get("workspace_id"), *(listed if isinstance(listed, list) else [])]
    return frozenset(found for found in map(_uuid, named) if found is not None)


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    scope = claims.get("scope", "")
    words = scope.split() if isinstance(scope, str) else scope
    return frozenset(word for word in words if isinstance(word, str)) if isinstance(words, list) else frozenset()


def _short_text(value: object) -> str:
    return "".join(character for character in str(value) if character.isprintable())[:200]
