"""Complete, valid examples of every message, as the published schemas and `docs/contracts.md` show them."""

from typing import Any, Final

_COMMAND_ID: Final = "0198f1c2-7d1e-7c4a-9a55-2f6f0c3b8e11"
_PULL_ID: Final = "nightly-pull-2026-11-22"
_SYNC_ID: Final = "0198f1c2-8a02-7b3c-8d41-6a1f4e0d9c27"
_WORKSPACE_ID: Final = "5b0f8a9e-3c1d-4e7a-9f62-1d2c3b4a5e6f"
_CONNECTION_ID: Final = "c1d7e2f4-6a3b-4c5d-8e9f-0a1b2c3d4e5f"
_ACCOUNT_ID: Final = "00D5g000004XyZaEAK"

PUSH_COMMAND: Final[dict[str, Any]] = {
    "command_id": _COMMAND_ID,
    "workspace_id": _WORKSPACE_ID,
    "integration": "salesforce",
    "direction": "push",
    "entity": "person",
    "mode": "upsert",
    "match_on": ["email"],
    "write_policy": None,
    "strict": False,
    "dry_run": False,
    "expires_at": None,
    "records": [
        {
            "ref": "ctc_81",
            "crm_id": None,
            "fields": {"email": "ada@example.com", "last_name": "Lovelace"},
            "clear": ["phone"],
        }
    ],
}

SHORTEST_PUSH_COMMAND: Final[dict[str, Any]] = {
    "workspace_id": _WORKSPACE_ID,
    "integration": "hubspot",
    "direction": "push",
    "entity": "company",
    "records": [{"fields": {"company_domain": "example.com", "company_name": "Example"}}],
}

PULL_COMMAND: Final[dict[str, Any]] = {
    "command_id": _PULL_ID,
    "workspace_id": _WORKSPACE_ID,
    "integration": "salesforce",
    "direction": "pull",
    "entity": "person",
    "limit": 200,
    "modified_since": "2026-11-21T00:00:00Z",
    "cursor": None,
    "fields": ["email", "last_name"],
    "include_deleted": False,
    "dry_run": False,
    "expires_at": "2026-11-22T12:00:00Z",
}

_TOO_LONG: Final[dict[str, Any]] = {
    "code": "value_too_long",
    "category": "bad_data",
    "message": "Title holds 128 characters, 163 were sent",
    "hint": "shorten it or map to a longer field",
    "retryable": False,
    "field": "job_title",
    "crm_field": "Title",
    "crm_code": "STRING_TOO_LONG",
}

_UNMAPPED: Final[dict[str, Any]] = {"code": "unmapped_field", "field": "linkedin", "crm_field": None, "message": ""}


def _outcome(index: int, ref: str, action: str, **rest: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"crm_id": None, "merged_into": None, "errors": [], "warnings": []}
    return {"index": index, "ref": ref, "action": action, **empty, **rest}


_RESULT: Final[dict[str, Any]] = {
    "command_id": _COMMAND_ID,
    "sync_id": _SYNC_ID,
    "workspace_id": _WORKSPACE_ID,
    "connection_id": _CONNECTION_ID,
    "crm_account_id": _ACCOUNT_ID,
    "integration": "salesforce",
    "direction": "push",
    "entity": "person",
    "crm_object": "Lead",
    "status": "completed",
    "record_count": 0,
    "success_count": 0,
    "failure_count": 0,
    "skipped_count": 0,
    "counts": {"created": 0, "updated": 0, "unchanged": 0, "skipped": 0, "failed": 0},
    "outcomes": [],
    "pull": None,
    "error": None,
    "attempt": 1,
    "api_calls": 1,
    "api_calls_shared_with": 0,
    "record_url_template": "https://example.my.salesforce.com/{crm_id}",
    "started_at": "2026-11-22T10:00:00.120000Z",
    "completed_at": "2026-11-22T10:00:01.480000Z",
    "source": {"topic": "crm.sync.commands", "partition": 3, "offset": 812},
}

PARTIAL_RESULT: Final[dict[str, Any]] = {
    **_RESULT,
    "status": "partial",
    "record_count": 4,
    "success_count": 2,
    "failure_count": 1,
    "skipped_count": 1,
    "counts": {"created": 1, "updated": 1, "unchanged": 0, "skipped": 1, "failed": 1},
    "outcomes": [
        _outcome(0, "ctc_81", "created", crm_id="00Q5g00000ABCDEEA5"),
        _outcome(1, "ctc_82", "updated", crm_id="00Q5g00000ABCDFEA5", warnings=[_UNMAPPED]),
        _outcome(2, "ctc_83", "failed", crm_id="00Q5g00000ABCDGEA5", errors=[_TOO_LONG]),
        _outcome(3, "ctc_84", "skipped"),
    ],
}

PULL_RESULT: Final[dict[str, Any]] = {
    **_RESULT,
    "command_id": _PULL_ID,
    "direction": "pull",
    "record_count": 1,
    "success_count": 1,
    "pull": {"cursor": "eyJ0IjoiMjAyNi0xMS0yMlQwOTo1OTo1OVoifQ", "has_more": False},
}

_NOT_CONNECTED: Final[dict[str, Any]] = {
    "code": "not_connected",
    "category": "authorization",
    "message": "the workspace has no connection to salesforce",
    "hint": "connect this CRM to the workspace, then send the command again",
    "retryable": True,
    "field": None,
    "crm_field": None,
    "crm_code": None,
}

FAILED_RESULT: Final[dict[str, Any]] = {
    **_RESULT,
    "connection_id": None,
    "crm_account_id": None,
    "crm_object": None,
    "status": "failed",
    "error": _NOT_CONNECTED,
    "outcomes": [_outcome(0, "ctc_81", "failed", errors=[_NOT_CONNECTED])],
    "record_count": 1,
    "failure_count": 1,
    "counts": {"created": 0, "updated": 0, "unchanged": 0, "skipped": 0, "failed": 1},
    "api_calls": 0,
    "record_url_template": None,
}

PLAN: Final[dict[str, Any]] = {
    "command_id": _COMMAND_ID,
    "workspace_id": _WORKSPACE_ID,
    "integration": "salesforce",
    "entity": "person",
    "crm_object": "Lead",
    "records": [
        {
            "index": 0,
            "ref": "ctc_81",
            "crm_id": "00Q5g00000ABCDEEA5",
            "action": "update",
            "changes": [
                {"crm_field": "LastName", "before": "Byron", "after": "Lovelace", "kept": False},
                {"crm_field": "Phone", "before": "+44 20 7946 0000", "after": None, "kept": False},
            ],
            "errors": [],
            "warnings": [_UNMAPPED],
        }
    ],
    "api_calls": 1,
    "error": None,
}

RECORDS: Final[dict[str, Any]] = {
    "command_id": _PULL_ID,
    "sync_id": _SYNC_ID,
    "workspace_id": _WORKSPACE_ID,
    "connection_id": _CONNECTION_ID,
    "crm_account_id": _ACCOUNT_ID,
    "integration": "salesforce",
    "entity": "person",
    "crm_object": "Lead",
    "records": [
        {
            "crm_id": "00Q5g00000ABCDEEA5",
            "modified_at": "2026-11-22T09:59:59Z",
            "deleted": False,
            "fields": {"email": "ada@example.com", "last_name": "Lovelace", "lead_score": 87, "subscribed": True},
        }
    ],
    "cursor": "eyJ0IjoiMjAyNi0xMS0yMlQwOTo1OTo1OVoifQ",
    "has_more": False,
}

CONNECTION: Final[dict[str, Any]] = {
    "connection_id": _CONNECTION_ID,
    "workspace_id": _WORKSPACE_ID,
    "integration": "salesforce",
    "sequence": 4,
    "event": "reauth_required",
    "status": "reauth_required",
    "previous_status": "connected",
    "reason": "the CRM refused the refresh token (invalid_grant)",
    "crm_account": {"id": _ACCOUNT_ID, "name": "Example GmbH", "user": "ada@example.com"},
    "held_commands": 12,
}

#: Published schema -> its examples.
EXAMPLES: Final[dict[str, list[dict[str, Any]]]] = {
    "command": [PUSH_COMMAND, SHORTEST_PUSH_COMMAND, PULL_COMMAND],
    "result": [PARTIAL_RESULT, PULL_RESULT, FAILED_RESULT],
    "plan": [PLAN],
    "records": [RECORDS],
    "connection": [CONNECTION],
}
