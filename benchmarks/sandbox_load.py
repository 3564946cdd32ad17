"""Is the sandbox ever the bottleneck? Requests per second with 500 in flight at 100 ms each, against the ideal 5,000.

``python -m benchmarks.sandbox_load`` takes about ten seconds for each CRM. The sandbox runs as a process of its own;
this process is its only client, on the same machine: with few cores the client's share of the CPU lowers the ratio too,
so that the figure is a floor of what the sandbox can do. CPU seconds of the sandbox per 1,000 requests stand beside it.
"""

import argparse
import asyncio
import os
import resource
import signal
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp

IN_FLIGHT = 500
LATENCY_S = 0.1
WARM_UP_S = 2.0
LEAST_RATIO = 0.5
"""Below this share of the ideal the run fails: then the sandbox would be what a test of throughput measures."""

_PATHS = {
    "salesforce": "/salesforce/services/data/v67.0/limits",
    "hubspot": "/hubspot/crm/objects/2026-09/contacts?limit=1",
}
_SWITCHES = {
    "salesforce": {"latency_ms": round(LATENCY_S * 1000), "daily_quota": 10**9},
    "hubspot": {"latency_ms": round(LATENCY_S * 1000), "ten_secondly_limit": 0},
}


@dataclass
class Load:
    """What the workers of one run share: they stop at ``until`` (monotonic seconds) and count from ``since`` on."""

    since: float
    until: float
    answered: int = 0
    failed: int = 0


@asynccontextmanager
async def running_sandbox() -> AsyncIterator[str]:
    """Run a sandbox as a process of its own; yield its origin."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "sandbox", stdout=PIPE, stderr=PIPE)
    if process.stdout is None:
        raise RuntimeError("the sandbox has no output")
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()


async def measure(session: aiohttp.ClientSession, origin: str, crm: str, seconds: float) -> Load:
    """Keep ``IN_FLIGHT`` requests in flight for ``seconds`` after a warm-up."""
    await _control(session, f"{origin}/_sandbox/switches", {crm: _SWITCHES[crm]})
    async with session.get(f"{origin}/_sandbox/accounts/{crm}") as reply:
        account = (await reply.json())[0]["account_id"]
    tokens = await _control(session, f"{origin}/_sandbox/tokens/{crm}/{account}", {})
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    started = time.monotonic()
    load = Load(started + WARM_UP_S, started + WARM_UP_S + seconds)
    await asyncio.gather(*(_work(session, origin + _PATHS[crm], headers, load) for _ in range(IN_FLIGHT)))
    return load


async def _work(session: aiohttp.ClientSession, url: str, headers: dict[str, str], load: Load) -> None:
    while (now := time.monotonic()) < load.until:
        async with session.get(url, headers=headers) as reply:
            await reply.read()
        if now >= load.since:
            load.answered += 1
            load.failed += reply.status != HTTPStatus.OK


async def _control(session: aiohttp.ClientSession, url: str, body: dict[str, object]) -> dict[str, str]:
    async with session.post(url, json=body) as reply:
        reply.raise_for_status()
        answer: dict[str, str] = await reply.json()
        return answer


async def run(seconds: float) -> int:
    """Measure both CRMs, print the figures, and return 1 when one is below ``LEAST_RATIO`` or a request failed."""
    is_good = True
    ideal = IN_FLIGHT / LATENCY_S
    print(
        f"{IN_FLIGHT} in flight, {LATENCY_S * 1000:.0f} ms each, {os.cpu_count()} cores; ideal {ideal:.0f} requests/s"
    )
    for crm in _PATHS:
        cpu_before = _children_cpu_s()
        connector = aiohttp.TCPConnector(limit=0)
        async with running_sandbox() as origin, aiohttp.ClientSession(connector=connector) as session:
            load = await measure(session, origin, crm, seconds)
        rate = load.answered / seconds
        cpu_s = _children_cpu_s() - cpu_before
        per_thousand = cpu_s / (load.answered * (seconds + WARM_UP_S) / seconds) * 1000
        print(
            f"{crm}: {rate:.0f} requests/s, ratio {rate / ideal:.2f}, {load.failed} failed, "
            f"{per_thousand:.2f} CPU s of the sandbox per 1,000 requests"
        )
        is_good &= rate / ideal >= LEAST_RATIO and load.failed == 0
    return 0 if is_good else 1


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sandbox_load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each CRM is measured, after the warm-up")
    sys.exit(asyncio.run(run(parser.parse_args().seconds)))


if __name__ == "__main__":
    main()
