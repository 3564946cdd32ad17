"""Every switch of the sandbox: what the control API's ``switches`` endpoint reads and sets.

A switch named ``..._next`` counts down: ``N`` spoils the next N calls, ``-1`` all of them until it is changed.

Both CRMs:

=========================== ======= ==================================================================================
switch                      default effect
=========================== ======= ==================================================================================
latency_ms                  0       every CRM call (OAuth too) waits this long before it is carried out
access_token_life_s         *       life of access tokens issued from now on; 7200 Salesforce, 1800 HubSpot
code_life_s                 *       life of authorization codes; 900 Salesforce, 60 HubSpot
pkce_required               *       authorize without ``code_challenge`` is refused; on for Salesforce, off for HubSpot
refresh_rotation            *       each refresh issues a new refresh token, the old one dies; Salesforce on ("RTR")
reuse_detection             true    with rotation: presenting a used refresh token revokes the whole grant
token_fault                 none    what ``token_fault_next`` does: 500, html (200 with a page), empty (200, no body),
                                    invalid_grant, rate_limited, lost_reply (carried out, then the connection is cut)
token_fault_next            0       calls of the token endpoint that meet ``token_fault``
hang_next                   0       data calls that are never answered and never carried out
hang_after_next             0       data calls that are carried out and never answered: a timeout after the write
reset_next                  0       data calls met by a TCP reset; they are not carried out
lose_reply_next             0       data calls that are carried out, then the connection is cut without a reply
cut_body_next               0       data calls that are carried out; half of the reply's body comes, then the cut
slow_reply_next             0       data calls whose reply drips in over ``slow_reply_ms``, after they are carried out
slow_reply_ms               3000    how long such a reply takes from its first byte to its last
error_500_next              0       data calls answered 500 in the vendor's own shape
html_503_next               0       data calls answered 503 with an HTML page
retry_after_s               0       seconds in ``Retry-After`` of 429, 477 and 503 replies; 0 = no header
poison_messages             false   per-record error messages contain U+0000 and a lone surrogate
random_fault_percent        0       share of data calls that meet one of ``random_faults``, drawn from the seed
random_faults               *       ``..._next`` switches to draw from: error_500, html_503, lose_reply; rate limits too
=========================== ======= ==================================================================================

Salesforce:

=========================== ======= ==================================================================================
switch                      default effect
=========================== ======= ==================================================================================
max_approvals               5       live refresh tokens per user and app; one more drops the oldest silently
daily_quota                 100000  API calls per org before 403 REQUEST_LIMIT_EXCEEDED "TotalRequests Limit exceeded."
concurrent_limit            0       data calls of one org in flight before 403 "ConcurrentRequests ..."; 0 = no limit
quota_exceeded_next         0       data calls answered 403 "TotalRequests Limit exceeded."
concurrent_exceeded_next    0       data calls answered 403 "ConcurrentRequests (Concurrent API Requests) ..."
row_lock_every              0       every Nth record written fails with UNABLE_TO_LOCK_ROW; 0 = never
row_lock_next               0       records written that fail with UNABLE_TO_LOCK_ROW
newest_version              68      the newest API version served: 68 (Winter '27), or 67 while that is a preview
unknown_field               call    unknown field or wrong JSON type: ``call`` = whole call 400, ``record`` = per record
over_limit_code             *       ``errorCode`` of more than 200 records; default EXCEEDED_ID_LIMIT
duplicate_id_code           *       ``statusCode`` of an id that comes twice in one update; default DUPLICATE_VALUE
duplicate_rule              off     alert (``allowSave=true`` passes) or block: creates repeating Email or Account Name
state_country_picklists     false   State/Country take only known names, StateCode/CountryCode exist in describe
validation_rule             false   a record whose Description contains "forbidden" fails the admin's validation rule
storage_full                false   every create fails with STORAGE_LIMIT_EXCEEDED
collections_email_upsert    false   collections upsert takes idLookup fields (Email) as key, not external ids alone
query_batch_size            2000    rows per query page when the request names no ``Sforce-Query-Options``
instance_url_override       ""      token replies name this ``instance_url`` instead of the sandbox's own
next_records_url_prefix     ""      put before ``nextRecordsUrl`` (a hostile CRM that points elsewhere)
=========================== ======= ==================================================================================

HubSpot:

=========================== ======= ==================================================================================
switch                      default effect
=========================== ======= ==================================================================================
ten_secondly_limit          110     calls per portal and app in 10 s before 429 TEN_SECONDLY_ROLLING; 0 = no limit
search_per_second_limit     5       searches per portal in a second before 429 SECONDLY; 0 = no limit
rate_limited_next           0       data calls answered 429
rate_limit_policy           *       ``policyName`` of those: TEN_SECONDLY_ROLLING (default), DAILY, SECONDLY
rate_limit_body             *       which shape a 429 body takes: errorType (default) or category
missing_scopes_in           *       where a 403 names the scopes: context (default) or errors (each with its context)
locked_423_next             0       data calls answered 423
moving_477_next             0       data calls answered 477 (account moves between data centres)
search_delay_ms             0       a written record is found by search only after this time; ``crm-sync sandbox`` and
                                    ``python -m sandbox`` start with 3000, as the real one lags by seconds
search_most_groups          5       ``filterGroups`` a search may have
search_most_group_filters   6       filters in one group
search_most_filters         18      filters in all groups together
search_max_body_chars       0       search bodies above this size are refused; 0 = only ``query`` is held to 3,000
trace_partial_status        207     status of a batch reply that carries errors: 207, or 200 for the plain 200/201
trace_partial_update        true    batch update honours ``objectWriteTraceId``
email_partial_upsert        true    batch upsert by email honours ``objectWriteTraceId``; false = whole call fails
missing_update_ids          error   batch update of unknown ids: error = OBJECT_NOT_FOUND entry, silent = in no list
silent_failure_next         0       batch writes answered 2xx with empty results and errors, nothing written
silent_drop_every           0       every Nth result of batch writes is left out of the reply (it is written); 0 = never
shuffle_results             true    batch results come in another order than the inputs
email_upsert_needs_email    false   upsert by email refuses an input whose ``properties`` lack ``email``
non_text_values             refuse  property values that are no JSON text: refuse the call, or take them as text
oauth_v1_gone               false   ``/oauth/v1`` answers 404
api_versions                *       versions that answer: v3, 2026-03, 2026-09; the others are 404, OAuth included
token_reply_extras          true    token replies carry hub_id, user_id and scopes beyond the required members
admin_required_properties   []      dated paths from 2026-09: a create without these fails VALIDATION_ERROR
admin_rule_error            *       ``error`` of such a property; default REQUIRED_FIELD
=========================== ======= ==================================================================================
"""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ApiVersion = Literal["v3", "2026-03", "2026-09"]
TokenFault = Literal["none", "500", "html", "empty", "invalid_grant", "rate_limited", "lost_reply"]


class CrmSwitches(BaseModel):
    """Switches that both CRMs have; the table stands in the module's docstring."""

    model_config = ConfigDict(extra="forbid", strict=True)

    latency_ms: int = Field(default=0, ge=0)
    access_token_life_s: int = Field(default=7200, ge=1)
    code_life_s: int = Field(default=900, ge=1)
    pkce_required: bool = False
    refresh_rotation: bool = False
    reuse_detection: bool = True
    token_fault: TokenFault = "none"  # noqa: S105  the name of a fault
    token_fault_next: int = Field(default=0, ge=-1)
    hang_next: int = Field(default=0, ge=-1)
    hang_after_next: int = Field(default=0, ge=-1)
    reset_next: int = Field(default=0, ge=-1)
    lose_reply_next: int = Field(default=0, ge=-1)
    cut_body_next: int = Field(default=0, ge=-1)
    slow_reply_next: int = Field(default=0, ge=-1)
    slow_reply_ms: int = Field(default=3000, ge=0)
    error_500_next: int = Field(default=0, ge=-1)
    html_503_next: int = Field(default=0, ge=-1)
    retry_after_s: int = Field(default=0, ge=0)
    poison_messages: bool = False
    random_fault_percent: int = Field(default=0, ge=0, le=100)
    random_faults: list[str] = Field(default=["error_500_next", "html_503_next", "lose_reply_next"], min_length=1)

    @model_validator(mode="after")
    def _random_faults_are_countdowns(self) -> Self:
        countdowns = {name for name in type(self).model_fields if name.endswith("_next")} - {"token_fault_next"}
        unknown = sorted(set(self.random_faults) - countdowns)
        if unknown:
            raise ValueError(f"random_faults: {unknown[0]} is none of {', '.join(sorted(countdowns))}")
        return self

    def spoil(self, name: str) -> None:
        """Add one call to a ``..._next`` switch; one that spoils all calls stays as it is."""
        left: int = getattr(self, name)
        if left >= 0:
            setattr(self, name, left + 1)

    def take(self, name: str) -> bool:
        """Use up one call of a ``..._next`` switch; tell whether this call is spoiled by it."""
        left: int = getattr(self, name)
        if left > 0:
            setattr(self, name, left - 1)
        return left != 0


class SalesforceSwitches(CrmSwitches):
    """Switches of the simulated Salesforce."""

    pkce_required: bool = True
    refresh_rotation: bool = True
    max_approvals: int = Field(default=5, ge=1)
    daily_quota: int = Field(default=100_000, ge=0)
    concurrent_limit: int = Field(default=0, ge=0)
    quota_exceeded_next: int = Field(default=0, ge=-1)
    concurrent_exceeded_next: int = Field(default=0, ge=-1)
    row_lock_every: int = Field(default=0, ge=0)
    row_lock_next: int = Field(default=0, ge=-1)
    random_faults: list[str] = Field(
        default=["error_500_next", "html_503_next", "lose_reply_next", "concurrent_exceeded_next", "row_lock_next"],
        min_length=1,
    )
    newest_version: Literal[67, 68] = 68
    unknown_field: Literal["call", "record"] = "call"
    over_limit_code: str = Field(default="EXCEEDED_ID_LIMIT", min_length=1)
    duplicate_id_code: str = Field(default="DUPLICATE_VALUE", min_length=1)
    duplicate_rule: Literal["off", "alert", "block"] = "off"
    state_country_picklists: bool = False
    validation_rule: bool = False
    storage_full: bool = False
    collections_email_upsert: bool = False
    query_batch_size: int = Field(default=2000, ge=1)
    instance_url_override: str = ""
    next_records_url_prefix: str = ""


class HubspotSwitches(CrmSwitches):
    """Switches of the simulated HubSpot."""

    access_token_life_s: int = Field(default=1800, ge=1)
    code_life_s: int = Field(default=60, ge=1)
    ten_secondly_limit: int = Field(default=110, ge=0)
    search_per_second_limit: int = Field(default=5, ge=0)
    rate_limited_next: int = Field(default=0, ge=-1)
    rate_limit_policy: Literal["TEN_SECONDLY_ROLLING", "DAILY", "SECONDLY"] = "TEN_SECONDLY_ROLLING"
    rate_limit_body: Literal["errorType", "category"] = "errorType"
    missing_scopes_in: Literal["context", "errors"] = "context"
    random_faults: list[str] = Field(
        default=["error_500_next", "html_503_next", "lose_reply_next", "rate_limited_next", "locked_423_next"],
        min_length=1,
    )
    locked_423_next: int = Field(default=0, ge=-1)
    moving_477_next: int = Field(default=0, ge=-1)
    search_delay_ms: int = Field(default=0, ge=0)
    search_most_groups: int = Field(default=5, ge=1)
    search_most_group_filters: int = Field(default=6, ge=1)
    search_most_filters: int = Field(default=18, ge=1)
    search_max_body_chars: int = Field(default=0, ge=0)
    trace_partial_status: Literal[200, 207] = 207
    trace_partial_update: bool = True
    email_partial_upsert: bool = True
    email_upsert_needs_email: bool = False
    non_text_values: Literal["refuse", "take"] = "refuse"
    missing_update_ids: Literal["error", "silent"] = "error"
    silent_failure_next: int = Field(default=0, ge=-1)
    silent_drop_every: int = Field(default=0, ge=0)
    shuffle_results: bool = True
    oauth_v1_gone: bool = False
    api_versions: list[ApiVersion] = Field(default=["v3", "2026-03", "2026-09"], min_length=1)
    token_reply_extras: bool = True
    admin_required_properties: list[str] = Field(default_factory=list)
    admin_rule_error: str = Field(default="REQUIRED_FIELD", min_length=1)


class Switches(BaseModel):
    """The switches of both CRMs."""

    model_config = ConfigDict(extra="forbid", strict=True)

    salesforce: SalesforceSwitches = Field(default_factory=SalesforceSwitches)
    hubspot: HubspotSwitches = Field(default_factory=HubspotSwitches)

    def merged(self, patch: dict[str, Any]) -> "Switches":
        """Return a copy with the named switches changed, the others as they are.

        Raises:
            pydantic.ValidationError: An unknown switch, or a value that it does not take.
        """
        current = self.model_dump()
        for crm, changes in patch.items():
            known = current.get(crm)
            current[crm] = {**known, **changes} if isinstance(known, dict) and isinstance(changes, dict) else changes
        return Switches.model_validate(current)
