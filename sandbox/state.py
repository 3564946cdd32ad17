"""All that a running sandbox holds, and how a handler reaches it."""

import random
import secrets

from aiohttp import web

from sandbox.accounts import Accounts
from sandbox.config import Crm, SandboxConfig
from sandbox.consent_requests import PendingConsents
from sandbox.grants import GrantBook
from sandbox.journal import Journal
from sandbox.salesforce.locators import QueryLocators
from sandbox.switches import CrmSwitches, Switches

CRMS: tuple[Crm, ...] = ("salesforce", "hubspot")


class SandboxState:
    """The mutable state of one sandbox. One event loop touches it, and never across an ``await`` half-way."""

    def __init__(self, config: SandboxConfig, origin: str) -> None:
        self.config = config
        self.origin = config.origin or origin
        self.journal = Journal(config.journal_size)
        self.random = random.Random(secrets.randbits(64))  # noqa: S311  shuffles replies, guards nothing
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
        self.journal.clear()

    def crm_switches(self, crm: Crm) -> CrmSwitches:
        """Return the switches of one CRM."""
        return self.switches.salesforce if crm == "salesforce" else self.switches.hubspot

    def base_url(self, crm: Crm) -> str:
        """Return the URL under which this CRM lives, without a slash at the end."""
        return f"{self.origin}/{crm}"


STATE = web.AppKey("state", SandboxState)
JOURNAL_ACCOUNT = web.RequestKey("journal_account", str)
JOURNAL_RECORDS = web.RequestKey("journal_records", int)


def state_of(request: web.Request) -> SandboxState:
    """Return the state of the sandbox that serves this request."""
    return request.config_dict[STATE]


def crm_of(path: str) -> Crm | None:
    """Tell which CRM a path belongs to; ``None`` for the control API."""
    first = path.removeprefix("/").partition("/")[0]
    return next((crm for crm in CRMS if crm == first), None)
