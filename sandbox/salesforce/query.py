"""``query``, ``queryAll`` and query locators (REST guide, "Query", "QueryAll", "Query Options Header")."""

import re
from typing import Any

from aiohttp import web

from sandbox.salesforce.catalog import object_type
from sandbox.salesforce.errors import refuse
from sandbox.salesforce.gate import Call
from sandbox.salesforce.locators import StoredQuery
from sandbox.salesforce.schema import ObjectType
from sandbox.salesforce.soql_evaluation import render_row, select
from sandbox.salesforce.soql_parser import parse_query
from sandbox.state import JOURNAL_RECORDS

LEAST_BATCH = 200
MOST_BATCH = 2000
_BATCH_SIZE = re.compile(r"batchSize\s*=\s*(\d+)", re.IGNORECASE)
_LOCATOR = re.compile(r"([0-9A-Za-z]{18})-(\d+)\Z")


async def query(call: Call) -> web.Response:
    """``GET query?q=...``: live records."""
    return _run(call, with_deleted=False)


async def query_all(call: Call) -> web.Response:
    """``GET queryAll?q=...``: deleted records too."""
    return _run(call, with_deleted=True)


def _run(call: Call, *, with_deleted: bool) -> web.Response:
    soql = call.request.query.get("q")
    if not soql:
        raise refuse(400, "MALFORMED_QUERY", "A query string has to be specified")

    def find_object(name: str) -> ObjectType | None:
        return object_type(name, with_state_codes=call.switches.state_country_picklists)

    parsed = parse_query(soql, find_object)
    records = select(parsed, call.org, with_deleted=with_deleted)
    if not parsed.paths:
        return web.json_response({"totalSize": len(records), "done": True, "records": []})
    rows = [render_row(parsed, record, call.org, call.version) for record in records]
    stored = StoredQuery(call.org.org_id, rows, _batch_size(call))
    return web.json_response(_page(call, stored, start=0, locator_id=None))


def _batch_size(call: Call) -> int:
    match = _BATCH_SIZE.search(call.request.headers.get("Sforce-Query-Options", ""))
    return call.switches.query_batch_size if match is None else max(LEAST_BATCH, min(MOST_BATCH, int(match[1])))


def _page(call: Call, stored: StoredQuery, *, start: int, locator_id: str | None) -> dict[str, Any]:
    end = start + stored.batch_size
    rows = stored.rows[start:end]
    call.request[JOURNAL_RECORDS] = len(rows)
    page: dict[str, Any] = {"totalSize": len(stored.rows), "done": end >= len(stored.rows)}
    if not page["done"]:
        locator_id = locator_id or call.state.locators.add(stored)
        prefix = call.switches.next_records_url_prefix
        page["nextRecordsUrl"] = f"{prefix}/services/data/{call.version}/query/{locator_id}-{end}"
    return {**page, "records": rows}


async def next_page(call: Call) -> web.Response:
    """``GET query/{locator}-{position}``."""
    match = _LOCATOR.match(call.request.match_info["locator"])
    stored = call.state.locators.get(match[1], call.org.org_id) if match else None
    if match is None or stored is None:
        raise refuse(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    return web.json_response(_page(call, stored, start=int(match[2]), locator_id=match[1]))
