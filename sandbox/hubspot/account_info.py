"""Which portal a token belongs to (account information API)."""

from aiohttp import web

from sandbox.hubspot.gate import Call


async def details(call: Call) -> web.Response:
    """``GET /account-info/{version}/details``."""
    return web.json_response(
        {
            "portalId": call.portal.hub_id,
            "accountType": "DEVELOPER_TEST",
            "timeZone": "Etc/UTC",
            "companyCurrency": "USD",
            "additionalCurrencies": [],
            "utcOffset": "+00:00",
            "utcOffsetMilliseconds": 0,
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        }
    )
