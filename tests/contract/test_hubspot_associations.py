"""Contacts and deals tied to their companies: found by one search, inside a create, by the batch endpoint afterwards.

The sandbox knows associations of creates alone; a small server before it answers the two batch endpoints for the others
(developers.hubspot.com/docs/api-reference/latest/crm/associations/associate-records/guide).
"""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from crm.adapters.hubspot import HubSpotAdapter
from crm.errors import CommandRefused, CrmUnavailable, RateLimited
from crm.http import AllowedHosts, HttpClient
from crm.model import CallScope, CrmRecord, FieldMapping, PushOptions, RecordOutcome, SyncResult
from sandbox.server import SandboxServer
from services.hubspot_portal import API_VERSION, CLIENT, ConnectedPortal, connected_portal

COMPANY = (FieldMapping("company_domain", "associations.companies"),)
BATCH = re.compile(r"/hubspot/crm/associations/2026-09/(\w+)/(\w+)/batch/(read|create)")


class Front(ThreadingHTTPServer):
    """Answers association batches from its memory and the sandbox's creates, everything else from the sandbox."""

    daemon_threads = True

    def __init__(self, origin: str) -> None:
        super().__init__(("127.0.0.1", 0), FrontHandler)
        self.sandbox = origin
        self.origin = f"http://127.0.0.1:{self.server_address[1]}"
        self.ties: dict[str, dict[str, set[int]]] = {}
        self.refused: set[str] = set()
        self.refuses_whole_calls = False
        self.status = 0
        self.paths: list[str] = []


class FrontHandler(BaseHTTPRequestHandler):
    """One request of the adapter."""

    protocol_version = "HTTP/1.1"
    server: Front

    def do_GET(self) -> None:
        """A read goes to the sandbox."""
        self._forward("GET", None)

    def do_POST(self) -> None:
        """A batch of associations is answered here."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.paths.append(self.path)
        batch = BATCH.fullmatch(self.path)
        if batch is None:
            self._forward("POST", body)
        elif self.server.status:
            self._send(self.server.status, {"status": "error", "message": "no", "policyName": "TEN_SECONDLY_ROLLING"})
        elif batch[3] == "read":
            self._read(json.loads(body)["inputs"], batch[1], batch[2])
        else:
            self._create(json.loads(body)["inputs"])

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""

    def _read(self, inputs: list[dict[str, Any]], source: str, target: str) -> None:
        results = []
        for one in inputs:
            found = {**self._of_create(one["id"], source, target), **self.server.ties.get(one["id"], {})}
            to = [
                {
                    "toObjectId": int(name),
                    "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": at} for at in of],
                }
                for name, of in found.items()
            ]
            results += [{"from": {"id": one["id"]}, "to": to}] if to else []
        errors = [{"status": "error", "category": "OBJECT_NOT_FOUND", "message": "No company is associated"}]
        is_partial = len(results) < len(inputs)
        self._send(207 if is_partial else 200, {"results": results, **({"errors": errors} if is_partial else {})})

    def _of_create(self, crm_id: str, source: str, target: str) -> dict[str, set[int]]:
        url = f"{self.server.sandbox}/hubspot/crm/objects/2026-09/{source}/{crm_id}/associations/{target}"
        reply = requests.get(url, headers={"Authorization": self.headers["Authorization"]}, timeout=5).json()
        return {
            str(one["toObjectId"]): {kind["typeId"] for kind in one["associationTypes"]} for one in reply["results"]
        }

    def _create(self, inputs: list[dict[str, Any]]) -> None:
        bad = [one for one in inputs if one["from"]["id"] in self.server.refused]
        if bad and self.server.refuses_whole_calls:
            self._send(400, {"status": "error", "category": "VALIDATION_ERROR", "message": "may not be associated"})
            return
        good = [one for one in inputs if one not in bad]
        for one in good:
            types = {kind["associationTypeId"] for kind in one["types"]}
            self.server.ties.setdefault(one["from"]["id"], {}).setdefault(one["to"]["id"], set()).update(types)
        results = [{"fromObjectId": int(one["from"]["id"]), "toObjectId": int(one["to"]["id"])} for one in good]
        errors = [{"status": "error", "message": "may not be associated"}] if bad else []
        self._send(201, {"status": "COMPLETE", "results": results, "errors": errors})

    def _forward(self, method: str, body: bytes | None) -> None:
        headers = {name: self.headers[name] for name in ("Authorization", "Content-Type") if self.headers[name]}
        reply = requests.request(method, self.server.sandbox + self.path, data=body, headers=headers, timeout=10)
        self._send_bytes(reply.status_code, reply.content)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        self._send_bytes(status, json.dumps(body).encode())

    def _send_bytes(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def front(server: SandboxServer) -> Iterator[Front]:
    with Front(server.origin) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def portal(server: SandboxServer, front: Front) -> Iterator[ConnectedPortal]:
    """A portal whose adapter calls through the front."""
    with connected_portal(server.origin) as connected:
        hosts = AllowedHosts(("hubapi.com", "hubspot.com"), front.origin)
        http = HttpClient(timeout_s=5.0, connect_timeout_s=2.0, allowed_hosts=hosts)
        adapter = HubSpotAdapter(http, CLIENT, api_version=API_VERSION, sandbox_origin=front.origin)
        yield replace(connected, http=http, adapter=adapter)


def person(index: int, domain: str, **fields: Any) -> CrmRecord:
    return CrmRecord({"email": f"p{index}@acme.io", "company_domain": domain, **fields}, index=index)


def tied(portal: ConnectedPortal, crm_object: str = "contacts", target: str = "companies") -> dict[str, set[int]]:
    """`{company id: association types}` of the first record as the sandbox stored it with a create."""
    crm_id = portal.stored(crm_object)[0]["id"]
    url = f"{portal.origin}/hubspot/crm/objects/2026-09/{crm_object}/{crm_id}/associations/{target}"
    reply = requests.get(url, headers={"Authorization": f"Bearer {portal.tokens.access_token}"}, timeout=5).json()
    return {str(one["toObjectId"]): {kind["typeId"] for kind in one["associationTypes"]} for one in reply["results"]}


def push(portal: ConnectedPortal, *records: CrmRecord, **options: Any) -> SyncResult:
    return portal.push("contacts", records, extra=COMPANY, options=PushOptions("contacts", **options))


def codes(outcome: RecordOutcome) -> list[str]:
    return [warning.code for warning in outcome.warnings]


def test_a_new_contact_is_created_with_its_company(portal: ConnectedPortal, front: Front) -> None:
    """The company is found by its domain in any spelling, and the association is part of the create."""
    # Given a company
    (company,) = portal.store("companies", {"domain": "acme.io"})

    # When a contact of it is created
    outcome = push(portal, person(0, "https://WWW.Acme.io/about"), mode="create").outcomes[0]

    # Then it is tied, as primary company too, without another call
    assert (outcome.action, outcome.warnings) == ("created", ())
    assert tied(portal) == {company: {1, 279}}
    assert not any("associations" in path for path in front.paths)


def test_an_upsert_ties_new_and_known_contacts(portal: ConnectedPortal, front: Front) -> None:
    """An upsert, then one read and one write tie all; one search finds all companies; again costs no write."""
    # Given companies and a known contact
    ids = portal.store("companies", {"domain": "acme.io"}, {"domain": "globex.com"})
    portal.store("contacts", {"email": "p0@acme.io"})

    # When it is upserted with a new one, the company given by domain and by id, and then again
    records = [person(0, "acme.io"), person(1, ids[1])]
    first = push(portal, *records)
    paths, front.paths = front.paths, []
    second = push(portal, *records)

    # Then both are tied, by three calls more than without
    assert [outcome.action for outcome in first.outcomes] == ["updated", "created"]
    contacts = [row["id"] for row in portal.stored("contacts")]
    assert front.ties == {contacts[0]: {ids[0]: {279, 1}}, contacts[1]: {ids[1]: {279, 1}}}
    assert sum(path.endswith("companies/search") for path in paths) == 1
    assert sum("associations" in path for path in paths) == 2
    assert [path.rsplit("/", 1)[1] for path in front.paths if "associations" in path] == ["read"]
    assert [outcome.warnings for outcome in second.outcomes] == [(), ()]


@pytest.mark.parametrize(
    ("policy", "has_company", "is_tied"),
    [
        ("overwrite", True, True),
        ("fill_if_empty", True, False),
        ("fill_if_empty", False, True),
        ("create_only", False, False),
    ],
)
def test_an_association_follows_its_write_policy(
    portal: ConnectedPortal, front: Front, policy: Any, *, has_company: bool, is_tied: bool
) -> None:
    """`overwrite` makes the company primary, `fill_if_empty` ties only who has none, `create_only` nobody known."""
    # Given a known contact, with another company or without
    company, other = portal.store("companies", {"domain": "acme.io"}, {"domain": "old.example"})
    (contact,) = portal.store("contacts", {"email": "p0@acme.io"})
    front.ties = {contact: {other: {279, 1}}} if has_company else {}

    # When it comes with a company and nothing else that is new
    outcome = push(portal, person(0, "acme.io"), write_policy=policy).outcomes[0]

    # Then the policy held, and only a tie made now is an update
    assert (company in front.ties.get(contact, {})) is is_tied
    is_known_as_changed = outcome.action == "updated"
    assert is_known_as_changed is (is_tied or policy == "overwrite")


def test_a_company_that_is_not_there_or_not_clear_costs_the_association_alone(portal: ConnectedPortal) -> None:
    """No company, a gone id, two companies: the contact lands with a warning that says so."""
    # Given two companies of one domain
    portal.store("companies", {"domain": "acme.io"}, {"domain": "acme.io"})

    # When contacts are pushed with each
    records = [person(0, "nobody.example"), person(1, "404404404"), person(2, "acme.io")]
    outcomes = push(portal, *records).outcomes

    # Then all landed
    assert [outcome.action for outcome in outcomes] == ["created"] * 3
    warnings = [codes(outcome) for outcome in outcomes]
    assert warnings == [["association_not_found"], ["association_not_found"], ["association_several_matches"]]
    assert outcomes[0].warnings[0].field == "company_domain"


@pytest.mark.parametrize("whole", [False, True])
def test_a_refused_association_does_not_cost_the_others(portal: ConnectedPortal, front: Front, *, whole: bool) -> None:
    """Refused alone or with its whole call, only the guilty association is missing; its record is written."""
    # Given six known contacts, one of which may not be tied
    portal.store("companies", {"domain": "acme.io"})
    contacts = portal.store("contacts", *({"email": f"p{index}@acme.io"} for index in range(6)))
    front.refused, front.refuses_whole_calls = {contacts[4]}, whole

    # When all are pushed
    outcomes = push(portal, *(person(index, "acme.io") for index in range(6))).outcomes

    # Then five are tied, and the sixth says what HubSpot said
    assert {outcome.action for outcome in outcomes} == {"updated"}
    assert [codes(outcome) for outcome in outcomes] == [[]] * 4 + [["association_refused"]] + [[]]
    assert "may not be associated" in outcomes[4].warnings[0].message
    assert sorted(front.ties) == sorted(set(contacts) - {contacts[4]})


@pytest.mark.parametrize(("status", "error", "code"), [(429, RateLimited, "rate_limited"), (503, CrmUnavailable, None)])
def test_an_association_that_could_not_be_tried_is_tried_again(
    portal: ConnectedPortal, front: Front, status: int, error: type[Exception], code: str | None
) -> None:
    """A limit after the write interrupts the push: the records are retryable, and the retry ties them."""
    # Given an account that is over its limit when associations come
    portal.store("companies", {"domain": "acme.io"})
    front.status = status

    # When a contact is pushed, and again when the limit is over
    result = push(portal, person(0, "acme.io"))
    front.status = 0
    again = push(portal, person(0, "acme.io")).outcomes[0]

    # Then nothing was forgotten and nothing doubled
    assert isinstance(result.interrupted_by, error)
    assert result.outcomes[0].retryable
    assert result.outcomes[0].errors[0].code == (code or "crm_unavailable")
    assert (again.action, len(front.ties), len(portal.stored("contacts"))) == ("updated", 1, 1)


def test_deals_are_tied_to_company_and_contact(portal: ConnectedPortal) -> None:
    """A deal needs a workspace's mappings; its company comes by domain, its contact by e-mail."""
    # Given both
    (company,) = portal.store("companies", {"domain": "acme.io"})
    (contact,) = portal.store("contacts", {"email": "a@acme.io"})
    mappings = (
        FieldMapping("deal_name", "dealname"),
        FieldMapping("deal_id", "morket_id", identifier=True),
        FieldMapping("stage", "dealstage"),
        FieldMapping("company_domain", "associations.companies"),
        FieldMapping("email", "associations.contacts"),
    )

    # When a deal is pushed
    record = CrmRecord(
        {"deal_name": "Big", "deal_id": "d-1", "stage": "Closedwon", "company_domain": "acme.io", "email": "A@acme.io"}
    )
    options = PushOptions("deals", mode="create")
    outcome = portal.push("deals", [record], extra=mappings, options=options).outcomes[0]

    # Then it is tied to both
    assert (outcome.action, outcome.warnings) == ("created", ())
    assert portal.stored("deals")[0]["properties"]["dealstage"] == "closedwon"
    assert tied(portal, "deals") == {company: {5, 341}}
    assert tied(portal, "deals", "contacts") == {contact: {3}}


def test_what_cannot_be_tied_is_refused_or_told(portal: ConnectedPortal) -> None:
    """What is not built is refused by name; clearing is a warning; the picker shows what there is."""
    # Given a mapping onto tickets, and the fields that a person may choose from
    tickets = (FieldMapping("ticket", "associations.tickets"),)
    fields = portal.adapter.describe_fields(portal.tokens, "contacts", scope=CallScope())

    # When it is used / Then it is refused; a clear leaves the record alone
    with pytest.raises(CommandRefused) as refused:
        portal.push("contacts", [CrmRecord({"email": "a@acme.io", "ticket": "1"})], extra=tickets)
    assert refused.value.code == "not_supported_yet"
    cleared = push(portal, CrmRecord({"email": "a@acme.io"}, clear=("company_domain",))).outcomes[0]
    assert (cleared.action, codes(cleared)) == ("created", ["not_supported"])
    assert [field.name for field in fields if field.kind == "association"] == ["associations.companies"]


def test_a_pull_does_not_ask_for_associations(portal: ConnectedPortal) -> None:
    """A mapping onto an association writes; reading leaves the field out."""
    # Given a contact / When it is pulled with such a mapping / Then the field is not there
    portal.store("contacts", {"email": "a@acme.io"})
    (record,) = portal.pull("person", 10, extra=COMPANY)
    assert "company_domain" not in record.fields
