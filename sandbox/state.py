"""All that a running sandbox holds, and how a handler reaches it."""

import random
import secrets
import time
from typing import Any

from aiohttp import web

from sandbox.accounts import Accounts
from sandbox.config import Crm, SandboxConfig
from sandbox.consent_requests import PendingConsents
from sandbox.grants import GrantBook
from sandbox.journal import Journal
from sandbox.salesforce.locators import QueryLocators
from sandbox.switches import CrmSwitches, Switches

CRMS: tuple[Crm, ...] = ("salesforce", "hubspot")
_SEED_BITS = 32
_AT_THE_ORIGIN = frozenset({"services", "id"})
"""First segments of Salesforce paths: a client that keeps only the host of ``instance_url`` finds them here too."""


class SandboxState:
    """The mutable state of one sandbox. One event loop touches it, and never across an ``await`` half-way."""

    def __init__(self, config: SandboxConfig, origin: str) -> None:
        self.config = config
        self.origin = config.origin or origin
        self.journal = Journal(config.journal_size)
        self.seed = secrets.randbits(_SEED_BITS) if config.seed is None else config.seed
        self.is_stopping = False
        self.reset()

    def reset(self) -> None:
        """Go back to the state right after the start: default accounts, no records, no grants, configured switches."""
        configured = {crm: dict(values) for crm, values in self.config.switches.items()}
        self.switches = Switches().merged(configured)
        self.accounts = Accounts(self.config.salesforce_orgs, self.config.hubspot_portals)
        self.grants: dict[Crm, GrantBook] = {crm: GrantBook() for crm in CRMS}
        self.consents = PendingConsents()
        self.locators = QueryLocators()
        self._choices: dict[str, random.Random] = {}
        self.schema_changed_at = time.time()
        self.journal.clear()

    def choices(self, purpose: str) -> random.Random:
        """Return the generator for one kind of choice, such as the faults of one CRM.

        Each kind has its own, made from the seed and the purpose, so that calls of one kind do not disturb another;
        a reset starts all of them anew.
        """
        if purpose not in self._choices:
            self._choices[purpose] = random.Random(f"{self.seed}/{purpose}")  # noqa: S311  guards nothing
        return self._choices[purpose]

    def change_switches(self, patch: dict[str, Any]) -> None:
        """Lay changes over the switches; those that change what describe shows are remembered by their time.

        Raises:
            pydantic.ValidationError: An unknown switch, or a value that it does not take; nothing is changed.
        """
        had_state_codes = self.switches.salesforce.state_country_picklists
        self.switches = self.switches.merged(patch)
        if self.switches.salesforce.state_country_picklists != had_state_codes:
            self.schema_changed_at = time.time()

    def crm_switches(self, crm: Crm) -> CrmSwitches:
        """Return the switches of one CRM."""
        return self.switches.salesforce if crm == "salesforce" else self.switches.hubspot

    def base_url(self, crm: Crm) -> str:
        """Return the URL under which this CRM lives, without a slash at the end."""
        return f"{self.origin}/{crm}"


STATE = web.AppKey("state", SandboxState)
JOURNAL_ACCOUNT = web.RequestKey("journal_account", str)
JOURNAL_RECORDS = web.RequestKey("journal_records", int)
JOURNAL_FAULT = web.RequestKey("journal_fault", str)


def state_of(request: web.Request) -> SandboxState:
    """Return the state of the sandbox that serves this request."""
    return request.config_dict[STATE]


def crm_of(path: str) -> Crm | None:
    """Tell which CRM a path belongs to; ``None`` for the control API."""
    first = path.removeprefix("/").partition("/")[0]
    if first in _AT_THE_ORIGIN:
        return "salesforce"
    return next((crm for crm in CRMS if crm == first), None)
