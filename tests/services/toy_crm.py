"""ToyCRM on localhost: the small CRM that `docs/adding-a-crm.md` writes an adapter for, and its bench."""

import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import HTTPErrorProcessor, build_opener

from services.adapter_bench import AdapterBench, SeenCall

CLIENT_ID: Final = "sandbox-toycrm-client"
CLIENT_SECRET: Final = "sandbox-toycrm-secret-not-real"
MOST_RECORDS: Final = 50
_FIELDS: Final = {
    "people": ("email", "first", "last", "title", "employer", "phone", "city"),
    "companies": ("domain", "name", "city"),
}
_KEYS: Final = {"people": "last", "companies": "domain"}
_MAX_LENGTH: Final = 255
#: Data calls that meet a fault, by switch: what happens before the call is carried out, or to its reply.
_COUNTDOWNS: Final = ("error_500_next", "html_503_next", "hang_next", "lose_reply_next", "drop_last_result_next")


@dataclass
class _Row:
    id: str
    fields: dict[str, str]
    change: int
    modified_at: float
    deleted: bool = False

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "fields": self.fields, "modified_at": self.modified_at, "deleted": self.deleted}


@dataclass
class ToyCrm:
    """All that a running ToyCRM holds; one lock guards it."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    rows: dict[tuple[str, str], dict[str, _Row]] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    grants: dict[str, str] = field(default_factory=dict)  # refresh token -> account
    access: dict[str, str] = field(default_factory=dict)  # access token -> account
    switches: dict[str, Any] = field(default_factory=dict)
    calls: list[SeenCall] = field(default_factory=list)
    changes: int = 0

    def takes(self, name: str) -> bool:
        """Use up one call of a countdown switch."""
        with self.lock:
            left = int(self.switches.get(name, 0))
            if left > 0:
                self.switches[name] = left - 1
            return left != 0

    def issue(self, account: str, refresh_token: str) -> dict[str, Any]:
        """A token reply."""
        access_token = f"toy-access-{secrets.token_urlsafe(24)}"
        self.access[access_token] = account
        return {
            "access_token": access_token,
            "refresh_token": refresh_token,
            "expires_in": 3600,
            "account": account,
            "user": "ada@toycrm.example",
        }

    def token(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """The token endpoint (RFC 6749 section 5)."""
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return 401, {"error": "invalid_client"}
        if form.get("grant_type") == "authorization_code":
            account = self.codes.pop(form.get("code", ""), None)
            refresh_token = f"toy-refresh-{secrets.token_urlsafe(24)}"
            if account:
                self.grants[refresh_token] = account
        else:
            refresh_token = form.get("refresh_token", "")
            account = self.grants.get(refresh_token)
        return (200, self.issue(account, refresh_token)) if account else (400, {"error": "invalid_grant"})

    def data(self, account: str, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """`POST /api/{object}/{verb}`."""
        name, _, verb = path.partition("/")
        carried_out = {
            "fields": self._describe,
            "find": self._find,
            "write": self._write,
            "delete": self._delete,
            "changes": self._changes,
        }.get(verb)
        if name not in _FIELDS or carried_out is None:
            return 404, {"error": "no such object or verb"}
        with self.lock:
            return carried_out(name, self.rows.setdefault((account, name), {}), body)

    def _describe(self, name: str, _rows: dict[str, _Row], _body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, {"fields": [{"name": one, "max_length": _MAX_LENGTH} for one in _FIELDS[name]]}

    def _find(self, _name: str, rows: dict[str, _Row], body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        if len(body["values"]) > MOST_RECORDS:
            return 400, {"error": f"at most {MOST_RECORDS} values"}
        wanted = {str(value).casefold() for value in body["values"]}
        live = [row for row in rows.values() if not row.deleted]
        by = body["field"]
        found = [row for row in live if (row.id if by == "id" else row.fields.get(by, "")).casefold() in wanted]
        return 200, {"rows": [row.to_json() for row in found]}

    def _write(self, name: str, rows: dict[str, _Row], body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        if len(body["rows"]) > MOST_RECORDS:
            return 400, {"error": f"at most {MOST_RECORDS} rows"}
        return 200, {"results": [self._write_one(name, rows, one) for one in body["rows"]]}

    def _write_one(self, name: str, rows: dict[str, _Row], one: Mapping[str, Any]) -> dict[str, Any]:
        before = rows.get(one["id"]) if one["id"] else None
        if one["id"] and (before is None or before.deleted):
            return _refused("gone", "the row is gone", None)
        if before is not None and one["fields"] is None:
            self._delete(name, rows, {"ids": [before.id]})
            return {"id": before.id, "created": False}
        problem = _problem_in(name, one["fields"])
        if problem is not None:
            return problem
        filled = {**(before.fields if before else {}), **one["fields"]}
        kept = {key: str(value) for key, value in filled.items() if value is not None}
        if not kept.get(_KEYS[name]):
            return _refused("missing", f"{_KEYS[name]} must be filled", _KEYS[name])
        row_id = before.id if before else f"toy{len(rows) + 1}"
        self.changes += 1
        rows[row_id] = _Row(row_id, kept, self.changes, time.time())
        return {"id": row_id, "created": before is None}

    def _delete(self, _name: str, rows: dict[str, _Row], body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        found = [rows[one] for one in body["ids"] if one in rows and not rows[one].deleted]
        for row in found:
            self.changes += 1
            row.deleted, row.change = True, self.changes
        return 200, {"deleted": [row.id for row in found]}

    def _changes(self, _name: str, rows: dict[str, _Row], body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        found = sorted(
            (
                row
                for row in rows.values()
                if row.change > body["after"]
                and (body["deleted"] or not row.deleted)
                and row.modified_at >= (body["since"] or 0)
            ),
            key=lambda row: row.change,
        )
        page = found[: body["limit"]]
        cursor = page[-1].change if page else body["after"]
        return 200, {"rows": [row.to_json() for row in page], "cursor": cursor, "more": len(found) > len(page)}


def _problem_in(name: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    for key, value in fields.items():
        if key not in _FIELDS[name]:
            return _refused("unknown", f"there is no field {key}", key)
        if value is not None and len(str(value)) > _MAX_LENGTH:
            return _refused("too_long", f"{key} takes {_MAX_LENGTH} characters", key)
    return None


def _refused(code: str, message: str, name: str | None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "field": name}}


class _Handler(BaseHTTPRequestHandler):
    crm: ToyCrm
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The authorization endpoint, where the person has always agreed already."""
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        code = f"toy-code-{secrets.token_urlsafe(24)}"
        self.crm.codes[code] = query.get("account", "toy-1")
        location = f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
        self._answer(302, b"", {"Location": location})

    def do_POST(self) -> None:
        """OAuth's endpoints and the data calls."""
        raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path.startswith("/api/"):
            self._data(self.path.removeprefix("/api/"), json.loads(raw))
            return
        form = {key: values[0] for key, values in parse_qs(raw.decode()).items()}
        if self.path == "/oauth/revoke":
            self._end(self.crm.grants.pop(form.get("token", ""), None))
            self._answer_json(200, {})
        else:
            self._token(form)

    def _end(self, account: str | None) -> None:
        for token in [token for token, owner in self.crm.access.items() if owner == account]:
            del self.crm.access[token]

    def _token(self, form: Mapping[str, str]) -> None:
        if not self.crm.takes("token_fault_next"):
            self._answer_json(*self.crm.token(form))
            return
        match self.crm.switches["token_fault"]:
            case "lost_reply":
                self.crm.token(form)
                self.close_connection = True
            case "rate_limited":
                self._answer_json(429, {"error": "rate_limit_exceeded"})
            case "500":
                self._answer(500, b"Internal Server Error", {})
            case "html":
                self._answer(200, b"<html>please sign in</html>", {"Content-Type": "text/html"})
            case _:
                self._answer(200, b"", {})

    def _data(self, path: str, body: Mapping[str, Any]) -> None:
        account = self.crm.access.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        status, content = self._carried_out(account, path, body)
        size = len(body.get("rows") or body.get("values") or body.get("ids") or ())
        self.crm.calls.append(SeenCall(path, status, size, is_write=path.endswith(("write", "delete"))))
        if self.crm.takes("lose_reply_next") or status == 0:
            self.close_connection = True
        elif status == 503:
            self._answer(status, b"<html>Service Unavailable</html>", {"Content-Type": "text/html"})
        else:
            self._answer_json(status, content)

    def _carried_out(self, account: str | None, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        if account is None:
            return 401, {"error": "expired"}
        if self.crm.takes("hang_next"):
            time.sleep(float(self.crm.switches.get("hang_s", 3)))
            return 0, {}
        if self.crm.takes("error_500_next"):
            return 500, {"error": "fault"}
        if self.crm.takes("html_503_next"):
            return 503, {}
        status, content = self.crm.data(account, path, body)
        if content.get("results") and self.crm.takes("drop_last_result_next"):
            content["results"].pop()
        return status, content

    def _answer_json(self, status: int, content: Mapping[str, Any]) -> None:
        self._answer(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives
        """Say nothing: the journal has it."""


class _NoRedirects(HTTPErrorProcessor):
    """A browser that stops at the redirect."""

    def http_response(self, _request: Any, response: Any) -> Any:
        return response


class ToyBench:
    """What the conformance suite needs of ToyCRM."""

    slug = "toycrm"
    client = (CLIENT_ID, CLIENT_SECRET)
    faults: Mapping[str, Mapping[str, Any]] = {
        f"{name}={count}": {name: count, "hang_s": 1.5} for name in _COUNTDOWNS for count in (1, -1)
    }

    def __init__(self, crm: ToyCrm, origin: str) -> None:
        self.origin = origin
        self._crm = crm

    def reset(self) -> None:
        """No records, no grants, no faults."""
        for kept in (self._crm.rows, self._crm.codes, self._crm.grants, self._crm.access, self._crm.switches):
            kept.clear()
        self._crm.calls.clear()

    def consent(self, authorize_url: str, account_id: str | None = None) -> str:
        """Open the authorization URL as a person would; the URL that the browser is sent to."""
        url = f"{authorize_url}&{urlencode({'account': account_id or 'toy-1'})}"
        with build_opener(_NoRedirects).open(url, timeout=5) as response:
            return str(response.headers["Location"])

    def account_ids(self) -> list[str]:
        """The accounts that a person may choose."""
        return ["toy-1", "toy-2"]

    def switch(self, **values: Any) -> None:
        """Ask for faults."""
        self._crm.switches.update(values)

    def end_faults(self) -> None:
        """Let everything work again."""
        self._crm.switches.clear()

    def expire_access_tokens(self, account_id: str) -> None:
        """Every access token of the account dies."""
        for token in [token for token, owner in self._crm.access.items() if owner == account_id]:
            del self._crm.access[token]

    def revoke_grants(self, account_id: str) -> None:
        """The customer ends every grant of the account."""
        for token in [token for token, owner in self._crm.grants.items() if owner == account_id]:
            del self._crm.grants[token]

    def stored(self, account_id: str, crm_object: str) -> dict[str, dict[str, Any]]:
        """Record id -> fields, of the records that are not deleted."""
        rows = self._crm.rows.get((account_id, crm_object), {})
        return {row.id: dict(row.fields) for row in rows.values() if not row.deleted}

    def calls(self) -> list[SeenCall]:
        """Every data call since the reset."""
        return list(self._crm.calls)


@contextmanager
def toy_bench() -> Iterator[AdapterBench]:
    """A ToyCRM on a free port of this machine."""
    crm = ToyCrm()
    handler = type("Handler", (_Handler,), {"crm": crm})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield ToyBench(crm, f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
        thread.join()
