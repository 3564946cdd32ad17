"""What HubSpot's documents leave open: the adapter keeps its promises under both settings of every such fact."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from crm.adapters.hubspot import HubSpotAdapter
from crm.adapters.hubspot.flags import HubSpotFlags
from crm.errors import AccessTokenRejected, GiveUp, PermissionDenied, ReauthRequired
from crm.model import CallScope, CrmRecord, FieldMapping, OAuthTokens, PushOptions
from sandbox.server import SandboxServer
from services.hubspot_portal import API_VERSION, CLIENT, REDIRECT_URI, ConnectedPortal, connected_portal


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def portal(server: SandboxServer) -> Iterator[ConnectedPortal]:
    with connected_portal(server.origin) as connected:
        yield connected


def with_flags(portal: ConnectedPortal, **flags: Any) -> HubSpotAdapter:
    return HubSpotAdapter(
        portal.http, CLIENT, api_version=API_VERSION, sandbox_origin=portal.origin, flags=HubSpotFlags(**flags)
    )


def people(count: int, bad: int) -> list[CrmRecord]:
    """Contacts with a last name, but for one."""
    return [
        CrmRecord({"email": f"p{at}@acme.io", "city": "Riga", **({} if at == bad else {"last_name": "N"})}, index=at)
        for at in range(count)
    ]


@pytest.mark.parametrize("status", [200, 207])
@pytest.mark.parametrize("by_email", [True, False])
def test_one_bad_record_never_sinks_an_upsert(portal: ConnectedPortal, status: int, *, by_email: bool) -> None:
    """Partial success told by 207 or by another 2xx, honoured by an upsert by e-mail or not: 19 land, one says why."""
    # Given the settings and a rule that one record breaks
    portal.switch(trace_partial_status=status, email_partial_upsert=by_email, admin_required_properties=["lastname"])

    # When 20 contacts are pushed
    outcomes = portal.push("contacts", people(20, bad=7)).outcomes

    # Then
    assert [outcome.index for outcome in outcomes if outcome.action == "failed"] == [7]
    assert outcomes[7].errors[0].code == "required_field_missing"
    assert len(portal.stored("contacts")) == 19


@pytest.mark.parametrize("status", [200, 207])
@pytest.mark.parametrize("honours", [True, False])
@pytest.mark.parametrize("missing", ["error", "silent"])
def test_one_bad_record_never_sinks_an_update(
    portal: ConnectedPortal, status: int, missing: str, *, honours: bool
) -> None:
    """Updates by id with trace ids that are honoured or not: the clash and the gone record fail alone."""
    # Given ten contacts, and an update in which one takes another's address and one is gone
    portal.switch(trace_partial_update=honours, trace_partial_status=status, missing_update_ids=missing)
    ids = portal.store("contacts", *({"email": f"p{at}@acme.io"} for at in range(10)))
    records = [CrmRecord({"city": "Riga"}, index=at, crm_id=crm_id) for at, crm_id in enumerate(ids)]
    records[3] = replace(records[3], fields={"email": "p9@acme.io"})
    records[5] = replace(records[5], crm_id="404404404")

    # When they are pushed
    outcomes = portal.push("contacts", records).outcomes

    # Then the others are written, and what is claimed is stored
    assert [outcome.index for outcome in outcomes if outcome.action == "failed"] == [3, 5]
    assert outcomes[3].errors[0].code == "duplicate_detected"
    assert outcomes[5].errors[0].code == ("record_gone" if missing == "error" else "no_answer_for_record")
    assert sum(row["properties"].get("city") == "Riga" for row in portal.stored("contacts")) == 8


@pytest.mark.parametrize("needs_email", [True, False])
def test_an_upsert_by_email_carries_the_email(portal: ConnectedPortal, *, needs_email: bool) -> None:
    """Whatever "no partial upsert by e-mail" means: the address always stands in the properties too."""
    # Given the setting / When a contact is pushed twice / Then both pushes land on one contact
    portal.switch(email_upsert_needs_email=needs_email)
    pushed = [portal.push("contacts", people(1, bad=-1)).outcomes[0].action for _push in range(2)]
    assert (pushed, len(portal.stored("contacts"))) == (["created", "updated"], 1)


@pytest.mark.parametrize(
    ("crm_code", "code"),
    [
        ("REQUIRED_FIELD", "required_field_missing"),
        ("MISSING_REQUIRED_PROPERTY", "required_field_missing"),
        ("BRAND_NEW", "crm_refused"),
    ],
)
def test_an_administrators_rule_may_have_any_code(portal: ConnectedPortal, crm_code: str, code: str) -> None:
    """Rules bind writes since 2026-09 with codes that are not documented: known ones are translated, others kept."""
    # Given a rule with the code / When a contact breaks it / Then its words and code are told
    portal.switch(admin_required_properties=["company"], admin_rule_error=crm_code)
    (failure,) = portal.push("contacts", people(1, bad=-1)).outcomes[0].errors
    assert (failure.code, failure.crm_code, failure.crm_field, failure.field) == (
        code,
        crm_code,
        "company",
        "company_name",
    )
    assert "required by a rule" in failure.message


@pytest.mark.parametrize("version", ["2026-03", "2026-09"])
def test_both_dated_versions_work(portal: ConnectedPortal, version: str) -> None:
    """The version stands in one place: an account that serves one of them alone is pushed to, read and disconnected."""
    # Given an account that serves one version
    portal.switch(api_versions=[version], admin_required_properties=["company"])
    adapter = HubSpotAdapter(portal.http, CLIENT, api_version=version, sandbox_origin=portal.origin)
    tokens = adapter.refresh_token(str(portal.tokens.refresh_token), tokens=portal.tokens)

    # When a contact is pushed, pulled, deleted, and the grant revoked
    fields = {"email": "a@acme.io"} if version == "2026-03" else {"email": "a@acme.io", "company_name": "Acme"}
    mappings = adapter.default_mappings("contacts")
    options = PushOptions("contacts")
    (made,) = adapter.push_records(tokens, [CrmRecord(fields)], mappings, options=options).outcomes
    pulled = adapter.pull_records(tokens, "contacts", mappings, 10)
    deletes = PushOptions("contacts", mode="delete")
    (gone,) = adapter.push_records(tokens, [CrmRecord(fields)], mappings, options=deletes).outcomes
    adapter.revoke(tokens)

    # Then every call went to that version; rules of administrators bind the newer one alone
    assert [made.action, len(pulled), gone.action] == ["created", 1, "updated"]


@pytest.mark.parametrize("pkce", [True, False])
def test_pkce_is_a_flag(portal: ConnectedPortal, *, pkce: bool) -> None:
    """The fact sheet says what the flag says; with it on, an account that demands PKCE can be connected."""
    # Given the flag
    adapter = with_flags(portal, pkce=pkce)

    # When / Then
    assert adapter.capabilities.pkce is pkce
    assert adapter.capabilities.modes == HubSpotAdapter.capabilities.modes
    url = adapter.get_auth_url("s", REDIRECT_URI, code_challenge="c" * 43 if adapter.capabilities.pkce else None)
    assert ("code_challenge_method=S256" in url) is pkce


@pytest.mark.parametrize("rotates", [True, False])
def test_refreshes_follow_each_other_whether_tokens_rotate_or_not(portal: ConnectedPortal, *, rotates: bool) -> None:
    """The refresh token of the last reply is the one to keep; three refreshes in a row work."""
    # Given the setting
    portal.switch(refresh_rotation=rotates)
    tokens: list[OAuthTokens] = [portal.tokens]

    # When it is refreshed three times
    for _refresh in range(3):
        tokens.append(portal.adapter.refresh_token(str(tokens[-1].refresh_token), tokens=tokens[-1]))

    # Then each access token is new, the refresh token as the setting says
    assert len({one.access_token for one in tokens}) == 4
    assert len({one.refresh_token for one in tokens}) == (4 if rotates else 1)


@pytest.mark.parametrize("extras", [True, False])
def test_a_token_reply_may_be_short(portal: ConnectedPortal, *, extras: bool) -> None:
    """`hub_id`, `user_id` and `scopes` may be missing; what was known stays."""
    # Given the setting and tokens with scopes
    portal.switch(token_reply_extras=extras)
    before = replace(portal.tokens, scope=("oauth",))

    # When they are refreshed / Then nothing is lost
    after = portal.adapter.refresh_token(str(before.refresh_token), tokens=before)
    assert after.account_id == before.account_id
    assert after.scope


@pytest.mark.parametrize("place", ["context", "errors"])
def test_missing_scopes_are_named_wherever_they_stand(portal: ConnectedPortal, place: str) -> None:
    """A 403 tells which scope is missing."""
    # Given a grant without write access / When a contact is pushed / Then the scope is named
    portal.switch(missing_scopes_in=place)
    with pytest.raises(PermissionDenied) as denied:
        portal.push("contacts", people(1, bad=-1), tokens=portal.tokens_with("oauth", "crm.objects.contacts.read"))
    assert "crm.objects.contacts.write" in denied.value.public


def test_limits_are_told_and_a_search_does_not_wipe_them(portal: ConnectedPortal) -> None:
    """Every reply that speaks of the window is noted in the scope; a search says nothing, so the last word stays."""
    # Given an adapter that knows the properties of companies
    scope = CallScope()
    portal.adapter.describe_fields(portal.tokens, "companies", scope=scope)
    first = scope.limits
    assert first is not None
    assert (first.window_max, first.window_s, first.daily_max) == (110, 10.0, None)

    # When a company is looked for and not found
    record = CrmRecord({"company_domain": "acme.io"})
    options = PushOptions("companies", mode="update", scope=scope)
    portal.push("companies", [record], options=options)

    # Then what the reply before said is still there
    assert scope.api_calls == 2
    assert scope.limits == first


def test_disconnecting_revokes_the_refresh_token_alone(portal: ConnectedPortal) -> None:
    """The app stays installed and access tokens live on: the fact sheet says `refresh_only`."""
    # Given a connected account / When it is revoked
    portal.adapter.revoke(portal.tokens)

    # Then the access token still reads, the refresh token is dead
    assert portal.adapter.capabilities.revocation == "refresh_only"
    assert portal.adapter.describe_fields(portal.tokens, "contacts", scope=CallScope())
    with pytest.raises(ReauthRequired):
        portal.adapter.refresh_token(str(portal.tokens.refresh_token))


@pytest.mark.parametrize("is_expired", [False, True])
def test_uninstalling_is_a_flag(portal: ConnectedPortal, *, is_expired: bool) -> None:
    """With the flag the app leaves the account, with a fresh access token where the kept one has expired."""
    # Given an adapter that uninstalls
    adapter = with_flags(portal, uninstall_on_disconnect=True)
    if is_expired:
        portal.expire()

    # When the connection ends, and once more
    adapter.revoke(portal.tokens)
    adapter.revoke(portal.tokens)

    # Then no token works
    with pytest.raises(AccessTokenRejected):
        adapter.describe_fields(portal.tokens, "deals", scope=CallScope())
    with pytest.raises(ReauthRequired):
        adapter.refresh_token(str(portal.tokens.refresh_token))


def test_a_failed_uninstall_still_revokes(portal: ConnectedPortal) -> None:
    """When HubSpot does not uninstall, the refresh token is revoked all the same, and a person is told to remove it."""
    # Given an expired access token, and a token endpoint that is in trouble when a fresh one is needed
    adapter = with_flags(portal, uninstall_on_disconnect=True)
    portal.expire()
    portal.switch(token_fault="500", token_fault_next=1)

    # When the connection ends / Then the error tells what is left to do, without a token in it
    with pytest.raises(GiveUp) as failed:
        adapter.revoke(portal.tokens)
    assert "still installed" in failed.value.public
    assert str(portal.tokens.refresh_token) not in f"{failed.value} {failed.value.public}"
    with pytest.raises(ReauthRequired):
        adapter.refresh_token(str(portal.tokens.refresh_token))


def test_optional_scopes_are_asked_for_beside_the_others(portal: ConnectedPortal) -> None:
    """Custom objects need scopes that not every account can grant: they are optional and off by default."""
    # Given adapters without and with them / When the URL is made / Then only the second asks
    adapter = with_flags(portal, optional_scopes=("crm.objects.custom.read", "crm.objects.custom.write"))
    asked = "optional_scope=crm.objects.custom.read%20crm.objects.custom.write"
    assert asked in adapter.get_auth_url("s", REDIRECT_URI)
    assert "optional_scope" not in portal.adapter.get_auth_url("s", REDIRECT_URI)


def test_a_deal_goes_by_the_workspaces_mappings(portal: ConnectedPortal) -> None:
    """Deals have no default mappings; with a workspace's own they are created, found again and left alone."""
    # Given mappings with a unique id
    mappings = (
        FieldMapping("deal_id", "morket_id", identifier=True),
        FieldMapping("deal_name", "dealname"),
        FieldMapping("amount", "amount"),
        FieldMapping("stage", "dealstage"),
    )
    deal = CrmRecord({"deal_id": "d-1", "deal_name": "Big", "amount": 12.5, "stage": "Closedwon"})
    nameless = CrmRecord({"deal_id": "d-2", "amount": 1}, index=1)

    # When they are pushed twice, the second time under a policy that reads first
    first, bad = portal.push("deals", [deal, nameless], extra=mappings).outcomes
    options = PushOptions("deals", write_policy="fill_if_empty")
    second = portal.push("deals", [deal], extra=mappings, options=options).outcomes[0]

    # Then one deal is there, and the nameless one was refused
    assert [first.action, second.action, second.crm_id] == ["created", "unchanged", first.crm_id]
    assert (bad.errors[0].code, bad.errors[0].field) == ("required_field_missing", "deal_name")
    (row,) = portal.stored("deals")
    assert (row["properties"]["amount"], row["properties"]["dealstage"]) == ("12.5", "closedwon")
