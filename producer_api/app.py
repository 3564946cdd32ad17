"""The WSGI application: routes, and one answer for every error."""

import json
from typing import Any

import falcon

from crm.errors import CrmError
from crm.store.engine import DatabaseUnavailable
from producer_api import pages
from producer_api.connect import Callback, Confirmation, Connect, TicketPages
from producer_api.cookies import Cookies
from producer_api.health import Health, Readiness
from producer_api.history import SyncHistory, SyncHistoryDetail
from producer_api.integrations import Integration, Integrations
from producer_api.mappings import Mappings
from producer_api.page_texts import OTHER, PAGE_TEXTS
from producer_api.parts import Parts, problem_of
from producer_api.problems import MEDIA_TYPE, Problem, not_found
from producer_api.request_log import RequestLog, log_fault
from producer_api.sync_commands import SyncCommand, SyncCommands

_WORKSPACE = "/api/v1/workspaces/{workspace_id}"
_INTEGRATION = _WORKSPACE + "/integrations/{slug}"


def create_app(parts: Parts) -> Any:
    """The application, a WSGI callable (PEP 3333), on these parts."""
    app = falcon.App(middleware=[RequestLog()])
    app.resp_options.secure_cookies_by_default = parts.settings.is_https
    app.set_error_serializer(_never_used)
    _add_routes(app, parts)
    app.add_error_handler(Exception, _on_fault)
    app.add_error_handler(DatabaseUnavailable, _on_database_fault)
    app.add_error_handler(CrmError, _on_crm_error)
    app.add_error_handler(falcon.HTTPError, _on_http_error)
    app.add_error_handler(Problem, _on_problem)
    return app


def _add_routes(app: Any, parts: Parts) -> None:
    cookies = Cookies(secure=parts.settings.is_https)
    app.add_route("/healthz", Health())
    app.add_route("/readyz", Readiness(parts.engine, parts.settings.migrations))
    app.add_route(f"{_WORKSPACE}/integrations", Integrations(parts))
    app.add_route(_INTEGRATION, Integration(parts))
    app.add_route(f"{_INTEGRATION}/connect", Connect(parts))
    app.add_route(f"{_INTEGRATION}/mappings", Mappings(parts))
    app.add_route(f"{_INTEGRATION}/sync-commands", SyncCommands(parts))
    app.add_route(f"{_INTEGRATION}/sync-commands/{{command_id:path}}", SyncCommand(parts))
    app.add_route(f"{_WORKSPACE}/sync-history", SyncHistory(parts))
    app.add_route(f"{_WORKSPACE}/sync-history/{{sync_id}}", SyncHistoryDetail(parts))
    app.add_route("/connect/{ticket}", TicketPages(parts, cookies))
    app.add_route("/connect/confirm", Confirmation(parts, cookies))
    app.add_route(pages.STYLE_PATH, pages.StyleSheet())
    app.add_route(f"{parts.settings.callback_path}/{{slug}}", Callback(parts, cookies))


def _on_problem(req: falcon.Request, resp: falcon.Response, problem: Problem, params: dict[str, Any]) -> None:
    del params
    request_id = req.context.request_id
    req.context.log = {"problem": problem.code}
    for name, value in problem.headers.items():
        resp.set_header(name, value)
    if req.context.is_page:
        text = PAGE_TEXTS.get(problem.code, OTHER)
        pages.show(
            resp,
            "problem.html",
            status=text.status if problem.code in PAGE_TEXTS else problem.status,
            text=text,
            code=problem.code,
            request_id=request_id,
            return_to=None,
        )
        return
    resp.status = problem.status
    resp.content_type = MEDIA_TYPE
    resp.data = json.dumps(problem.as_json(request_id), ensure_ascii=False).encode("utf-8", "replace")


def _on_crm_error(req: falcon.Request, resp: falcon.Response, error: CrmError, params: dict[str, Any]) -> None:
    _on_problem(req, resp, problem_of(error), params)


def _on_database_fault(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    log_fault(req.context.request_id, error)
    detail = "the database does not answer; try again in some seconds"
    _on_problem(req, resp, Problem(503, "database_unavailable", detail, headers={"Retry-After": "5"}), params)


def _on_fault(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    log_fault(req.context.request_id, error)
    detail = "this service made a mistake; its log has the details under the request_id"
    _on_problem(req, resp, Problem(500, "internal_error", detail), params)


_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}


def _on_http_error(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: dict[str, Any]) -> None:
    """What Falcon itself refuses: unknown routes and methods, malformed headers."""
    if error.status_code == 404:  # noqa: PLR2004 - HTTP's own number
        problem = not_found()
    else:
        code = _HTTP_CODES.get(error.status_code, "bad_request")
        detail = error.description or error.title or "the request cannot be served"
        problem = Problem(error.status_code, code, detail, headers=dict(error.headers or {}))
    _on_problem(req, resp, problem, params)


def _never_used(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
    """Falcon asks for a serializer; `_on_http_error` has answered before."""
    _on_http_error(req, resp, error, {})
