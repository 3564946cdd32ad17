"""Rules that hold for every CRM in the registry, over real HTTP against the sandbox; a new CRM needs no edit here."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from crm.errors import (
    AccessTokenRejected,
    CommandRefused,
    ConfigurationFault,
    CrmError,
    CrmUnavailable,
    LeaseLost,
    ReauthRequired,
    TryAgain,
)
from crm.model import CallScope, CrmRecord, OAuthTokens, PushOptions, RecordOutcome
from crm.registry import build_registry
from services.adapter_bench import AdapterBench, benches
from services.connected_crm import (
    CHALLENGE,
    TIMEOUT_S,
    Connected,
    client_settings,
    connect,
    person,
    settings_for,
)

BENCHES = benches()


@pytest.fixture(scope="module", params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Iterator[AdapterBench]:
    with BENCHES[request.param]() as running:
        yield running


@pytest.fixture
def crm(bench: AdapterBench, monkeypatch: pytest.MonkeyPatch) -> Connected:
    for name, value in client_settings(bench).items():
        monkeypatch.setenv(name, value)
    return connect(bench)


def actions(outcomes: Sequence[RecordOutcome]) -> list[str]:
    return [outcome.action for outcome in outcomes]


def test_the_fact_sheet_is_complete(crm: Connected) -> None:
    """Both neutral entities have an object, default mappings and a match field that is mapped."""
    for entity in ("person", "company"):
        # When
        name = crm.adapter.resolve_object(entity, {})
        mapped = {mapping.morket_field for mapping in crm.adapter.default_mappings(name)}

        # Then
        assert name == crm.adapter.capabilities.entities[entity][0]
        assert crm.adapter.default_match_field(name) in mapped
        assert crm.adapter.resolve_object(name.upper(), {}) == name
    assert crm.adapter.slug == crm.slug
    assert {"upsert", "create", "update", "delete"} <= crm.adapter.capabilities.modes


def test_the_authorization_request_carries_state_and_no_secret(crm: Connected) -> None:
    """RFC 6749 section 4.1.1: state and redirect URI as given; S256 where the CRM knows PKCE."""
    # When
    state = "st&te +ü"
    query = parse_qs(urlsplit(crm.auth_url(state)).query)

    # Then
    assert query["state"] == [state]
    assert query["redirect_uri"] == [crm.redirect_uri]
    assert "secret" not in crm.auth_url(state)
    if crm.adapter.capabilities.pkce:
        assert (query["code_challenge"], query["code_challenge_method"]) == ([CHALLENGE], ["S256"])


def test_consent_gives_tokens_that_work_and_name_the_account(crm: Connected) -> None:
    """The account that the person chose is in the tokens, and a call with them succeeds."""
    # Given a person with two accounts
    second = crm.bench.account_ids()[1]

    # When the second is chosen
    tokens = crm.exchange(crm.code(second))

    # Then
    assert tokens.account_id == second
    assert tokens.user
    assert tokens.refresh_token
    assert crm.adapter.describe_fields(tokens, crm.person, scope=CallScope())
    assert OAuthTokens.from_json(tokens.to_json()) == tokens
    assert tokens.access_token not in repr(tokens)


def test_a_code_works_once(crm: Connected) -> None:
    """A used or foreign code needs a new consent."""
    # Given
    code = crm.code()
    crm.exchange(code)

    # When / Then
    for spent in (code, "made-up"):
        with pytest.raises(ReauthRequired):
            crm.exchange(spent)


def test_a_refresh_keeps_account_and_a_refresh_token(crm: Connected) -> None:
    """Whether the CRM rotates or not, the result holds the refresh token to keep."""
    # When two refreshes follow each other
    first = crm.adapter.refresh_token(str(crm.tokens.refresh_token), tokens=crm.tokens)
    second = crm.adapter.refresh_token(str(first.refresh_token), tokens=first)

    # Then
    assert second.account_id == crm.tokens.account_id
    assert second.refresh_token
    assert second.access_token != crm.tokens.access_token
    assert second.expires_at is not None
    assert crm.adapter.describe_fields(second, crm.person, scope=CallScope())


def test_a_dead_grant_needs_a_person(crm: Connected) -> None:
    """After the customer ended the grant, a refresh says reauthorize."""
    # Given
    crm.bench.revoke_grants(str(crm.tokens.account_id))

    # When / Then
    with pytest.raises(ReauthRequired):
        crm.adapter.refresh_token(str(crm.tokens.refresh_token), tokens=crm.tokens)


@pytest.mark.parametrize("fault", ["500", "html", "empty", "lost_reply", "rate_limited"])
def test_a_token_endpoint_in_trouble_is_tried_again_and_never_quoted(crm: Connected, fault: str) -> None:
    """A fault of the token endpoint is no verdict on the grant, and its error holds no token."""
    # Given
    crm.bench.switch(token_fault=fault, token_fault_next=1)

    # When
    with pytest.raises(TryAgain) as raised:
        crm.adapter.refresh_token(str(crm.tokens.refresh_token), tokens=crm.tokens)

    # Then
    assert_no_secret(crm, raised.value)


def test_a_wrong_client_secret_is_for_the_operator(crm: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    """`invalid_client` is a setting, not a dead grant."""
    # Given
    _id_name, secret_name = client_settings(crm.bench)
    monkeypatch.setenv(secret_name, "another")
    adapter = build_registry(settings_for(crm.bench.origin)).get(crm.slug)

    # When / Then
    with pytest.raises(ConfigurationFault) as raised:
        adapter.refresh_token(str(crm.tokens.refresh_token), tokens=crm.tokens)
    assert_no_secret(crm, raised.value)


def test_revoking_ends_the_grant_and_may_be_repeated(crm: Connected) -> None:
    """RFC 7009: a token that is already dead counts as revoked."""
    # When
    crm.adapter.revoke(crm.tokens)
    crm.adapter.revoke(crm.tokens)

    # Then
    with pytest.raises(ReauthRequired):
        crm.adapter.refresh_token(str(crm.tokens.refresh_token), tokens=crm.tokens)


def test_a_push_gives_one_outcome_a_record_in_order(crm: Connected) -> None:
    """Dirty records fail with a code, a reason and their Morket field; the others land."""
    # Given every third record without e-mail
    records = [person(index, email=None if index % 3 == 2 else f"p{index}@acme.io") for index in range(30)]

    # When
    result = crm.push(records)

    # Then
    assert [(outcome.index, outcome.ref) for outcome in result.outcomes] == [(i, f"r{i}") for i in range(30)]
    assert actions(result.outcomes) == ["created", "created", "failed"] * 10
    failure = result.outcomes[2].errors[0]
    assert (failure.code, failure.field, failure.retryable) == ("no_match_value", "email", False)
    assert failure.message
    assert failure.hint
    assert result.interrupted_by is None


def test_the_same_push_again_makes_nothing(crm: Connected) -> None:
    """People by e-mail and companies by domain are found again, whatever their spelling."""
    # Given
    people = [person(index) for index in range(5)]
    companies = [CrmRecord({"company_domain": f"acme{i}.io", "company_name": f"A{i}"}, index=i) for i in range(5)]
    first = crm.push(people), crm.push(companies, crm.company)

    # When
    shouted = [replace(one, fields={**one.fields, "email": str(one.fields["email"]).upper()}) for one in people]
    spelled = [
        replace(one, fields={**one.fields, "company_domain": f"https://WWW.{one.fields['company_domain']}/"})
        for one in companies
    ]
    second = crm.push(shouted), crm.push(spelled, crm.company)

    # Then
    for before, after in zip(first, second, strict=True):
        assert set(actions(before.outcomes)) == {"created"}
        assert "created" not in actions(after.outcomes)
        assert not any(outcome.errors for outcome in after.outcomes)
        assert [one.crm_id for one in before.outcomes] == [one.crm_id for one in after.outcomes]
        assert [one.match_value for one in before.outcomes] == [one.match_value for one in after.outcomes]


def test_blank_values_leave_alone_and_clear_empties(crm: Connected) -> None:
    """Absent, null and blank are no values; only `clear` empties a field."""
    # Given
    (made,) = crm.push([person(0, phone="+49 30 1", city="Łódź", job_title="CTO")]).outcomes

    # When
    crm.push([replace(person(0, city=" ", job_title=""), clear=("phone",))])

    # Then
    phone, city, title = crm.held(str(made.crm_id), crm.person, "phone", "city", "job_title")
    assert (phone or None, city, title) == (None, "Łódź", "CTO")


def test_records_with_one_key_become_one_crm_record(crm: Connected) -> None:
    """Each record of a command has its outcome; the later ones name the first."""
    # When
    first, second = crm.push([person(0, email="Ada@acme.io"), person(1, email="ada@ACME.io", phone="1")]).outcomes

    # Then
    assert (second.merged_into, second.crm_id, second.ref) == (0, first.crm_id, "r1")
    assert actions([first, second]) == ["created", "updated"]
    assert crm.held(str(first.crm_id), crm.person, "last_name", "phone") == ["N1", "1"]


def test_modes_create_and_update(crm: Connected) -> None:
    """`create` skips what exists, `update` fails what does not."""
    # Given
    crm.push([person(0)])

    # When
    created = crm.push([person(0), person(1)], mode="create").outcomes
    updated = crm.push([person(0, job_title="CTO"), person(2)], mode="update").outcomes

    # Then
    assert actions(created) == ["skipped", "created"]
    assert [warning.code for warning in created[0].warnings] == ["already_exists"]
    assert actions(updated) == ["updated", "failed"]
    assert updated[1].errors[0].code == "not_found"


def test_a_crm_id_comes_before_the_match_field(crm: Connected) -> None:
    """A record that names its CRM record is written there, whatever its e-mail says."""
    # Given
    first, _second = crm.push([person(0), person(1)]).outcomes

    # When
    (outcome,) = crm.push([replace(person(7, email=None, job_title="CTO"), crm_id=first.crm_id)]).outcomes

    # Then
    assert (outcome.action, outcome.crm_id) == ("updated", first.crm_id)
    assert crm.held(str(first.crm_id), crm.person, "job_title") == ["CTO"]


@pytest.mark.parametrize("known_by", ["match value", "crm_id", "link"])
def test_fill_if_empty_keeps_what_a_person_typed(crm: Connected, known_by: str) -> None:
    """Empty fields are filled, the others kept with a warning, however the record is found; nothing is emptied."""
    # Given a record with a phone number and a city, and without a title
    (made,) = crm.push([person(0, phone="+49 30 1", city="Łódź")]).outcomes
    crm_id = str(made.crm_id)
    record = replace(person(0, phone="+49 30 2", job_title="CTO"), clear=("city",))
    record = replace(record, crm_id=crm_id) if known_by == "crm_id" else record
    options = {"write_policy": "fill_if_empty", "links": {"p0@acme.io": crm_id} if known_by == "link" else {}}

    # When another number, a title and an empty city are pushed twice
    (first,) = crm.push([record], **options).outcomes
    (second,) = crm.push([record], **options).outcomes

    # Then only the title was written
    assert (first.action, second.action, first.crm_id) == ("updated", "unchanged", crm_id)
    assert {(one.code, one.field) for one in first.warnings} == {
        ("kept_existing_value", "phone"),
        ("kept_existing_value", "city"),
    }
    assert crm.held(crm_id, crm.person, "phone", "city", "job_title") == ["+49 30 1", "Łódź", "CTO"]


def test_create_only_writes_new_records_and_leaves_the_others(crm: Connected) -> None:
    """A new record gets every value, the match field included; an existing one none."""
    # Given
    (made,) = crm.push([person(0, job_title="CTO")]).outcomes

    # When
    records = [person(0, job_title="CEO", phone="1"), person(1, job_title="CFO")]
    known, new = crm.push(records, write_policy="create_only").outcomes

    # Then
    assert (known.action, known.crm_id, new.action) == ("unchanged", made.crm_id, "created")
    title, phone = crm.held(str(made.crm_id), crm.person, "job_title", "phone")
    assert (title, phone or None) == ("CTO", None)
    assert crm.held(str(new.crm_id), crm.person, "email", "job_title") == ["p1@acme.io", "CFO"]


def test_the_commands_policy_comes_before_the_mappings_and_the_connections(crm: Connected) -> None:
    """Connection, then mapping, then command: the last that says something holds."""
    # Given a record, and a mapping of its own for the title
    (made,) = crm.push([person(0, job_title="CTO", phone="1")]).outcomes
    mappings = [
        replace(one, write_policy="overwrite") if one.morket_field == "job_title" else one
        for one in crm.adapter.default_mappings(crm.person)
    ]

    def push(title: str, **options: Any) -> list[object]:
        record = person(0, job_title=title, phone="2")
        settings = PushOptions(crm.person, default_write_policy="fill_if_empty", **options)
        crm.adapter.push_records(crm.tokens, [record], mappings, options=settings)
        return crm.held(str(made.crm_id), crm.person, "job_title", "phone")

    # When / Then
    assert push("CEO") == ["CEO", "1"]
    assert push("CFO", write_policy="create_only") == ["CEO", "1"]
    assert push("CFO", write_policy="overwrite") == ["CFO", "2"]


def test_deleting_finds_records_as_an_update_does_and_may_be_repeated(crm: Connected) -> None:
    """By id and by match value; what is gone already is no failure, and others stay."""
    # Given three records
    made = crm.push([person(index) for index in range(3)]).outcomes
    records = [replace(person(7, email=None), crm_id=made[0].crm_id), person(1), person(8), person(9, email=None)]
    records = [replace(record, index=index) for index, record in enumerate(records)]

    # When one is deleted by id and one by its match value, twice
    first = crm.push(records, mode="delete").outcomes
    second = crm.push(records, mode="delete").outcomes

    # Then
    assert actions(first) == ["updated", "updated", "unchanged", "failed"]
    assert actions(second) == ["unchanged", "unchanged", "unchanged", "failed"]
    assert [[one.code for one in outcome.warnings] for outcome in first[:3]] == [
        ["deleted"],
        ["deleted"],
        ["not_found"],
    ]
    assert {one.code for outcome in second[:3] for one in outcome.warnings} == {"not_found"}
    assert [error.code for error in first[3].errors] == ["no_match_value"]
    assert [record.crm_id for record in crm.pull()] == [made[2].crm_id]
    assert "delete" in crm.adapter.capabilities.modes


def test_a_delete_of_several_matches_deletes_none(crm: Connected) -> None:
    """Which one is meant is for a person to say."""
    # Given two companies that were given one domain
    company = {"company_domain": "acme.io", "company_name": "Acme"}
    records = [CrmRecord({**company, "company_domain": f"acme{index}.io"}, index=index) for index in range(2)]
    made = crm.push(records, crm.company).outcomes
    crm.push([CrmRecord(company, index=one.index, crm_id=one.crm_id) for one in made], crm.company)

    # When
    (outcome,) = crm.push([CrmRecord(company)], crm.company, mode="delete").outcomes

    # Then
    assert [error.code for error in outcome.errors] == ["several_matches"]
    assert len(crm.pull(crm_object=crm.company)) == 2


def test_a_strict_push_fails_unmapped_fields(crm: Connected) -> None:
    """Without `strict` an unmapped field is a warning, with it an error."""
    # When
    (loose,) = crm.push([person(0, favourite_colour="teal")]).outcomes
    (strict,) = crm.push([person(1, favourite_colour="teal")], strict=True).outcomes

    # Then
    assert (loose.action, [warning.code for warning in loose.warnings]) == ("created", ["unmapped_field"])
    assert (strict.action, [error.code for error in strict.errors]) == ("failed", ["unmapped_field"])


def test_calls_are_counted_and_asked_for(crm: Connected) -> None:
    """Every data call asks for leave with its total timeout, and is counted."""
    # Given
    asked: list[float] = []
    scope = CallScope(before_send=asked.append)

    # When
    crm.push([person(0)], scope=scope)

    # Then
    data_calls = crm.bench.calls()
    assert scope.api_calls == len(asked) >= 1
    assert len(data_calls) >= scope.api_calls
    assert set(asked) == {TIMEOUT_S}


def test_a_lost_lease_lets_no_call_leave(crm: Connected) -> None:
    """`LeaseLost` is raised as it is, before the first byte."""

    def refuse(_timeout_s: float) -> None:
        raise LeaseLost("another worker owns the partition")

    # Given
    before = len(crm.bench.calls())
    scope = CallScope(before_send=refuse)

    # When / Then
    with pytest.raises(LeaseLost):
        crm.push([person(0)], scope=scope)
    with pytest.raises(LeaseLost):
        crm.pull(scope=scope)
    assert len(crm.bench.calls()) == before


def test_an_expired_access_token_is_told_from_everything_else(crm: Connected) -> None:
    """401 means: refresh once, try once more; nothing was written."""
    # Given
    crm.bench.expire_access_tokens(str(crm.tokens.account_id))

    # When / Then
    for verb in (lambda: crm.push([person(0)]), crm.pull):
        with pytest.raises(AccessTokenRejected) as raised:
            verb()
        assert_no_secret(crm, raised.value)


@pytest.mark.parametrize("switch", [{"error_500_next": -1}, {"html_503_next": -1}, {"hang_next": -1}])
def test_a_crm_in_trouble_is_unavailable(crm: Connected, switch: dict[str, int]) -> None:
    """5xx, an HTML page or no answer at all: try again later, and the error names no secret."""
    # Given
    crm.bench.switch(**switch)

    # When / Then
    with pytest.raises(CrmUnavailable) as raised:
        crm.pull()
    assert_no_secret(crm, raised.value)


def test_a_write_whose_answer_is_lost_does_not_make_a_second_record(crm: Connected) -> None:
    """The failed record is retryable, and the retry finds what the lost call made."""
    # Given how many calls such a push takes, the last of which writes, and a CRM that loses the reply of that one
    crm.push([person(8)])
    counted = CallScope()
    crm.push([person(9)], scope=counted)
    left: list[float] = []

    def spoil_the_last(timeout_s: float) -> None:
        left.append(timeout_s)
        if len(left) == counted.api_calls:
            crm.bench.switch(lose_reply_next=1)

    # When
    result = crm.push([person(0)], scope=CallScope(before_send=spoil_the_last))
    (again,) = crm.push([person(0)]).outcomes

    # Then
    assert isinstance(result.interrupted_by, CrmUnavailable)
    assert result.outcomes[0].retryable
    assert not again.errors
    assert len([record for record in crm.pull() if record.fields.get("email") == "p0@acme.io"]) == 1


def test_a_pull_pages_without_skipping_or_repeating(crm: Connected) -> None:
    """Many records of one instant, pages that do not divide them: each comes once; later, only changes come."""
    # Given
    made = crm.push([person(index) for index in range(23)]).outcomes
    seen: list[str] = []
    cursor = None

    # When
    for _ in range(12):
        page = crm.pull(5, cursor=cursor)
        seen += [str(record.crm_id) for record in page]
        cursor = page.cursor
        if not page.has_more:
            break

    # Then
    assert sorted(seen) == sorted(str(outcome.crm_id) for outcome in made)
    crm.push([person(4, job_title="CTO")])
    later = crm.pull(cursor=cursor)
    assert [(record.fields["email"], record.fields["job_title"]) for record in later] == [("p4@acme.io", "CTO")]
    assert list(crm.pull(cursor=later.cursor)) == []


def test_a_pull_reads_what_a_push_wrote(crm: Connected) -> None:
    """Values come back as they were sent, whatever script they are in."""
    # Given
    fields = {"first_name": "Zoë", "last_name": "O'Neill-Ōno \\ 😀", "city": "東京", "job_title": 'a "b" %_'}

    # When
    (made,) = crm.push([person(0, **fields)]).outcomes
    (record,) = crm.pull()

    # Then
    assert record.crm_id == made.crm_id
    assert {name: record.fields[name] for name in fields} == fields
    assert record.fields["full_name"] == "Zoë O'Neill-Ōno \\ 😀"
    assert record.modified_at is not None


@pytest.mark.parametrize("cursor", ["", "x" * 50, "!!!", "bm90IGEgY3Vyc29y"])
def test_a_made_up_cursor_is_refused(crm: Connected, cursor: str) -> None:
    """Cursors are checked; they never become part of a query."""
    # When / Then
    with pytest.raises(CommandRefused) as refused:
        crm.pull(cursor=cursor)
    assert refused.value.code == "invalid_cursor"


def test_reading_and_deleting_by_id(crm: Connected) -> None:
    """Unknown ids are absent from a reading and not gone from a deletion; a deleted record is no longer read."""
    # Given
    (made,) = crm.push([person(0)]).outcomes
    crm_id = str(made.crm_id)

    # When / Then
    assert crm.held(crm_id, crm.person, "last_name") == ["N0"]
    assert crm.adapter.delete_records(crm.tokens, crm.person, [crm_id], scope=CallScope()) == {crm_id: True}
    assert crm.adapter.read_records(crm.tokens, crm.person, [crm_id], ["Id"], scope=CallScope()) == {}


def test_an_unknown_object_is_refused(crm: Connected) -> None:
    """An object that the CRM does not have has no fields."""
    # When / Then
    with pytest.raises(CommandRefused) as refused:
        crm.adapter.describe_fields(crm.tokens, "no_such_object__c", scope=CallScope())
    assert refused.value.code == "no_mapping_for_entity"


def test_a_record_link_has_a_place_for_the_id(crm: Connected) -> None:
    """The template leads to the CRM's own pages."""
    # When
    template = crm.adapter.record_url_template(crm.tokens, crm.person)

    # Then
    assert template is not None
    assert "{crm_id}" in template


def assert_no_secret(crm: Connected, error: CrmError) -> None:
    """An error's two texts hold neither tokens nor the client's secret."""
    text = f"{error} {error.public}"
    for secret in (*crm.secrets(), "not-real"):
        assert secret not in text
