"""What an org of its own making asks for: related records by external id, custom objects, every type of field."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from crm.adapters.salesforce import SalesforceAdapter
from crm.http import AllowedHosts, HttpClient
from crm.model import CrmRecord, FieldMapping, OAuthTokens, PullOptions, PushOptions, RecordOutcome
from services.salesforce_org import API_VERSION, CLIENT

COMPANY = FieldMapping("company_key", "account.morket_id__C")
EMAIL = FieldMapping("email", "Email", identifier=True)
CONTACT_ID, ACCOUNT_ID, TRIP_ID = "0035g00000AAAAAAA4", "0015g00000AAAAAAA4", "a015g00000AAAAAAA4"
NO_SUCH_ACCOUNT = "Foreign key external ID: nobody not found for field Morket_Id__c in entity Account"


def live(name: str, kind: str = "string", **facts: Any) -> dict[str, Any]:
    """One field of a describe."""
    return {
        "name": name, "label": name, "type": kind, "length": 80, "createable": True, "updateable": True,
        "nillable": True, "defaultedOnCreate": False, **facts,
    }  # fmt: skip


def to(target: str | list[str], relationship: str) -> dict[str, Any]:
    targets = [target] if isinstance(target, str) else target
    return {"referenceTo": targets, "relationshipName": relationship, "length": 18}


def options(*values: str, restricted: bool = True) -> dict[str, Any]:
    entries = [{"value": value, "label": value.title(), "active": True} for value in values]
    return {"picklistValues": entries, "restrictedPicklist": restricted, "length": 4099}


SYSTEM = [live("Id", "id", createable=False, updateable=False), live("SystemModstamp", "datetime", createable=False)]
OBJECTS = {
    "Account": [*SYSTEM, live("Name", nillable=False), live("Morket_Id__c", externalId=True, length=10)],
    "Contact": [
        *SYSTEM,
        live("Email", "email"),
        live("LastName", nillable=False),
        live("AccountId", "reference", **to("Account", "Account")),
        live("OwnerId", "reference", **to(["User", "Group"], "Owner")),
        live("Hidden__c", "reference", **to("Secret__c", "Hidden__r")),
    ],
    "Trip__c": [
        *SYSTEM,
        live("Name"),
        live("Company__c", "reference", nillable=False, **to("Account", "Company__r")),
        live("Starts__c", "date"),
        live("Booked_At__c", "datetime"),
        live("Paid__c", "boolean", nillable=False),
        live("Seats__c", "int", digits=3),
        live("Price__c", "currency"),
        live("Share__c", "percent"),
        live("Modes__c", "multipicklist", **options("train", "plane", "bike")),
        live("Class__c", "picklist", **options("first", "second")),
    ],
}


@dataclass
class CannedOrg:
    """An org that describes what it is told, finds `rows` and takes every record, but for `refusals` by index."""

    origin: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    refusals: dict[int, dict[str, Any]] = field(default_factory=dict)
    queries: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    written: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        """Status and JSON of a call."""
        self.paths.append(path.rsplit(API_VERSION, maxsplit=1)[-1])
        if path.endswith("/describe"):
            name = path.split("/")[-2]
            found = OBJECTS.get(name)
            missing = [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]
            return (200, {"name": name, "fields": found}) if found else (404, missing)
        if path.endswith("/services/data"):
            return 200, [{"version": API_VERSION.removeprefix("v")}]
        if path.endswith("/query"):
            self.queries += query["q"]
            return 200, {"done": True, "records": self.rows}
        self.written += body["records"]
        return 200, [self._result(place, record) for place, record in enumerate(body["records"])]

    def _result(self, place: int, record: dict[str, Any]) -> dict[str, Any]:
        if place in self.refusals:
            return {"success": False, "errors": [self.refusals[place]]}
        made = {"Trip__c": TRIP_ID}.get(record["attributes"]["type"], CONTACT_ID)
        return {"id": record.get("id", made), "success": True, "errors": []}


@contextmanager
def serving(canned: CannedOrg) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            status, content = canned.answer(parts.path, parse_qs(parts.query), json.loads(raw) if raw else None)
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PATCH = do_POST  # noqa: N815 - the names that http.server wants

        def log_message(self, *_args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        canned.origin = f"http://127.0.0.1:{server.server_port}"
        yield
        server.shutdown()
        thread.join(5)


@dataclass
class Bench:
    """An adapter on a canned org."""

    canned: CannedOrg
    adapter: SalesforceAdapter
    tokens: OAuthTokens

    def push(
        self, record: CrmRecord, *mappings: FieldMapping, crm_object: str = "Contact", **how: Any
    ) -> RecordOutcome:
        """Push one record with exactly these mappings."""
        settings = PushOptions(crm_object, **how)
        (outcome,) = self.adapter.push_records(self.tokens, [record], mappings, options=settings).outcomes
        return outcome

    @property
    def sent(self) -> dict[str, Any]:
        """The record that was written last, without its attributes."""
        return {name: value for name, value in self.canned.written[-1].items() if name != "attributes"}


@pytest.fixture
def bench() -> Iterator[Bench]:
    canned = CannedOrg()
    with serving(canned):
        hosts = AllowedHosts(("salesforce.com",), canned.origin)
        http = HttpClient(timeout_s=5.0, connect_timeout_s=2.0, allowed_hosts=hosts)
        adapter = SalesforceAdapter(http, CLIENT, api_version=API_VERSION, sandbox_origin=canned.origin)
        yield Bench(canned, adapter, OAuthTokens("token", account_id="00D1", instance_url=canned.origin))


def contact(**fields: Any) -> CrmRecord:
    return CrmRecord({"email": "ada@acme.io", "last_name": "Lovelace", **fields})


PERSON = (EMAIL, FieldMapping("last_name", "LastName"))


def test_a_related_record_is_named_by_its_external_id(bench: Bench) -> None:
    """A mapping onto a path is sent as an object of its own, in the org's own spelling."""
    # When
    outcome = bench.push(contact(company_key="m-1"), *PERSON, COMPANY)

    # Then
    assert (outcome.action, outcome.warnings) == ("created", ())
    assert bench.sent == {"Email": "ada@acme.io", "LastName": "Lovelace", "Account": {"Morket_Id__c": "m-1"}}


def test_a_related_record_that_is_named_already_changes_nothing(bench: Bench) -> None:
    """The look-up reads the related record's external id, and compares it."""
    # Given a contact of that account
    account = {"attributes": {"type": "Account"}, "Morket_Id__c": "m-1"}
    bench.canned.rows = [{"Id": CONTACT_ID, "Email": "ada@acme.io", "LastName": "Lovelace", "Account": account}]

    # When
    same = bench.push(contact(company_key="m-1"), *PERSON, COMPANY)
    kept = bench.push(contact(company_key="m-2"), *PERSON, COMPANY, write_policy="fill_if_empty")
    other = bench.push(contact(company_key="m-2"), *PERSON, COMPANY)

    # Then
    assert [same.action, kept.action, other.action] == ["unchanged", "unchanged", "updated"]
    assert [warning.crm_field for warning in kept.warnings] == ["Account.Morket_Id__c"]
    assert bench.sent["Account"] == {"Morket_Id__c": "m-2"}
    assert "Account.Morket_Id__c" in bench.canned.queries[0]


def test_clearing_a_relationship_empties_the_reference(bench: Bench) -> None:
    """An object that names nothing would be refused; the reference itself is emptied."""
    # Given a contact of an account
    bench.canned.rows = [{"Id": CONTACT_ID, "Email": "ada@acme.io", "LastName": "Lovelace", "AccountId": ACCOUNT_ID}]

    # When
    outcome = bench.push(replace(contact(), clear=("company_key",)), *PERSON, COMPANY)

    # Then
    assert (outcome.action, bench.sent["AccountId"], "Account" in bench.sent) == ("updated", None, False)


def test_salesforces_own_id_comes_before_the_external_id(bench: Bench) -> None:
    """Salesforce refuses a record that says both."""
    # When
    by_id = FieldMapping("account_id", "AccountId")
    bench.push(contact(company_key="m-1", account_id=ACCOUNT_ID), *PERSON, COMPANY, by_id)

    # Then
    assert (bench.sent["AccountId"], "Account" in bench.sent) == (ACCOUNT_ID, False)


@pytest.mark.parametrize(
    ("crm_field", "code"),
    [
        ("Account.Name", "read_only_field"),
        ("Account.Nonsense__c", "unknown_field"),
        ("Nobody.Morket_Id__c", "unknown_field"),
        ("Owner.Morket_Id__c", "unknown_field"),
        ("Hidden__r.Morket_Id__c", "unknown_field"),
        ("Account.Morket_Id__c.Name", "unknown_field"),
        ("Account.Id FROM User --", "unknown_field"),
        ("Account.", "unknown_field"),
    ],
)
def test_a_path_must_lead_to_an_external_id(bench: Bench, crm_field: str, code: str) -> None:
    """Other fields, several possible objects and text that is no name are left out with a warning, and never sent."""
    # When
    outcome = bench.push(contact(company_key="m-1"), *PERSON, FieldMapping("company_key", crm_field))

    # Then
    assert (outcome.action, [warning.code for warning in outcome.warnings]) == ("created", [code])
    assert set(bench.sent) == {"Email", "LastName"}
    assert not any("--" in text for text in (*bench.canned.queries, *bench.canned.paths))


def test_a_related_record_that_is_missing_says_so(bench: Bench) -> None:
    """Salesforce gives it the code of an unknown field; the fields are as they were, so nothing is described again."""
    # Given
    bench.canned.refusals = {0: {"statusCode": "INVALID_FIELD", "message": NO_SUCH_ACCOUNT, "fields": []}}

    # When
    outcome = bench.push(contact(company_key="nobody"), *PERSON, COMPANY)
    bench.push(contact(company_key="nobody"), *PERSON, COMPANY)

    # Then
    (failure,) = outcome.errors
    assert (failure.code, failure.crm_code, failure.retryable) == ("related_record_not_found", "INVALID_FIELD", False)
    assert [path for path in bench.canned.paths if "describe" in path] == [
        "/sobjects/Contact/describe",
        "/sobjects/Account/describe",
    ]


def test_a_value_too_long_for_the_related_key_fails_before_sending(bench: Bench) -> None:
    """The related object's own description decides."""
    # When
    outcome = bench.push(contact(company_key="m" * 11), *PERSON, COMPANY)

    # Then
    assert [(error.code, error.field) for error in outcome.errors] == [("value_too_long", "company_key")]
    assert bench.canned.written == []


def test_a_pull_reads_fields_of_related_records(bench: Bench) -> None:
    """Any field of a parent can be read; a parent that is missing is null."""
    # Given
    parent = {"attributes": {"type": "Account"}, "Name": "Acme"}
    system = {"SystemModstamp": "2026-11-22T10:00:00.000+0000", "Email": "ada@acme.io"}
    bench.canned.rows = [
        {"Id": CONTACT_ID, **system, "Account": parent},
        {"Id": "0035g00000AAAABAA4", **system, "Account": None},
    ]

    # When
    mappings = (EMAIL, FieldMapping("company_name", "Account.Name", direction="pull"))
    page = bench.adapter.pull_records(bench.tokens, "Contact", mappings, 200, options=PullOptions())

    # Then
    assert [record.fields["company_name"] for record in page] == ["Acme", None]


TRIP = (
    FieldMapping("company_key", "Company__r.Morket_Id__c"),
    *(FieldMapping(name.removesuffix("__c").lower(), name) for name in (
        "Name", "Starts__c", "Booked_At__c", "Paid__c", "Seats__c", "Price__c", "Share__c", "Modes__c", "Class__c",
    )),
)  # fmt: skip


def test_a_custom_object_takes_every_type_of_field(bench: Bench) -> None:
    """By its own name, with the workspace's mappings: native JSON types, options by label, a required reference."""
    # Given a trip as an upstream service writes it
    fields: dict[str, Any] = {
        "company_key": "m-1",
        "name": " Berlin ",
        "starts": "2026-12-01T09:00:00Z",
        "booked_at": "2026-11-22T10:00:00+02:00",
        "paid": "yes",
        "seats": "12",
        "price": "1,234.50",
        "share": 12.0,
        "modes": ["Train", "BIKE"],
        "class": "First",
    }

    # When it is created
    assert bench.adapter.resolve_object("Trip__c", {}) == "Trip__c"
    outcome = bench.push(CrmRecord(fields), *TRIP, crm_object="Trip__c", mode="create")

    # Then
    assert (outcome.action, outcome.crm_id, outcome.errors) == ("created", TRIP_ID, ())
    assert bench.sent == {
        "Company__r": {"Morket_Id__c": "m-1"},
        "Name": "Berlin",
        "Starts__c": "2026-12-01",
        "Booked_At__c": "2026-11-22T08:00:00.000Z",
        "Paid__c": True,
        "Seats__c": 12,
        "Price__c": 1234.5,
        "Share__c": 12,
        "Modes__c": "train;bike",
        "Class__c": "first",
    }


@pytest.mark.parametrize(
    ("fields", "code", "field_name"),
    [
        ({"company_key": "m-1", "modes": ["Train", "Rocket"]}, "invalid_option", "modes"),
        ({"company_key": "m-1", "class": ["first", "second"]}, "invalid_option", "class"),
        ({"company_key": "m-1", "starts": "tomorrow"}, "invalid_value", "starts"),
        ({"company_key": "m-1", "booked_at": "noon"}, "invalid_value", "booked_at"),
        ({"company_key": "m-1", "paid": "perhaps"}, "invalid_value", "paid"),
        ({"company_key": "m-1", "seats": 1000}, "invalid_value", "seats"),
        ({"company_key": "m-1", "price": "much"}, "invalid_value", "price"),
        ({"name": "Berlin"}, "required_field_missing", "company_key"),
    ],
)
def test_what_a_custom_field_cannot_take_fails_its_record(
    bench: Bench, fields: dict[str, Any], code: str, field_name: str | None
) -> None:
    """With Morket's name of the field, before anything is sent."""
    # When
    outcome = bench.push(CrmRecord(fields), *TRIP, crm_object="Trip__c", mode="create")

    # Then
    assert [(error.code, error.field) for error in outcome.errors] == [(code, field_name)]
    assert bench.canned.written == []
