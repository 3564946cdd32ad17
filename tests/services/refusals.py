"""Checks that an authorization is refused with a stable code, and callbacks to be refused."""

import traceback
from collections.abc import Callable

import pytest

from crm.authorization import Redirect
from crm.authorization_errors import (
    AUTHORIZATION_FAILURES,
    AuthorizationFailed,
)
from services.authorization_bench import Bench, cookies_of


def refused(code: str, call: Callable[[], object], kind: type[AuthorizationFailed] = AuthorizationFailed) -> str:
    """Check that `call` is refused with `code`; return everything that the error shows."""
    with pytest.raises(kind) as raised:
        call()
    assert raised.value.code == code
    assert raised.value.public == AUTHORIZATION_FAILURES[code]
    return "".join(traceback.format_exception(raised.value)) + repr(raised.value)


def callback_of(bench: Bench, redirect: Redirect, **changed: str) -> Callable[[], object]:
    """The callback of a consent that was given, with changed parameters."""
    params = {**bench.consent(redirect), **changed}
    return lambda: bench.authorizer.complete("salesforce", params, cookies_of(redirect))
