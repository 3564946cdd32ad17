"""The demo from start to end."""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from cli.demo.checks import Account, check_all, summary
from cli.demo.evidence import read_evidence
from cli.demo.person import ConnectedCrm, connect
from cli.demo.stack import Stack, running_stack, write_settings
from cli.demo.story import Story
from cli.demo.syncs import SLUGS, pull_everything, push_samples, sample_records
from cli.output import Output
from cli.problems import CliProblem, ExitCode


@dataclass(frozen=True, slots=True)
class _Told:
    """The end of the account: whether every claim held, and the JSON document."""

    is_good: bool
    document: Mapping[str, Any]


def run_demo(out: Output, base: Path, *, once: bool) -> int:
    """Start, connect, sync, check, tell; then stay up until Ctrl-C unless `once`.

    Args:
        out: With JSON, the account goes to standard error and standard output holds one line.
        base: The folder `.devstack`.
        once: End when everything is told.

    Returns:
        0 when every claim holds, else 1.

    Raises:
        CliProblem: A part did not start, or an answer did not come.
    """
    story = Story(out.progress if out.as_json else out.console, out.progress)
    began = time.monotonic()
    story.begin(base.resolve())
    with _interruptible(), ExitStack() as stopping:
        with story.starting() as starting:
            stack = stopping.enter_context(running_stack(base, starting))
        told = _tell(story, stack, began)
        if not once:
            out.document(told.document)
            _stay_up(story, stack)
    if once:
        # After everything has stopped, so that it is the last line whatever else is printed.
        out.document(told.document)
    return ExitCode.DONE if told.is_good else ExitCode.ATTENTION


def _tell(story: Story, stack: Stack, began: float) -> _Told:
    try:
        crms, account = _sync(story, stack)
    except CliProblem:
        stack.check()  # a program that ended is the better explanation
        raise
    story.chapter(5, "Is it true? Everything is read back and compared")
    evidence = read_evidence(stack, {crm.slug: crm.account_id for crm in crms})
    checks = check_all(account, evidence)
    story.checked(checks, evidence)
    is_good = all(check.holds for check in checks)
    story.ended(time.monotonic() - began, is_good=is_good)
    return _Told(is_good, summary(account, evidence))


def _sync(story: Story, stack: Stack) -> tuple[list[ConnectedCrm], Account]:
    story.chapter(1, "A person connects both CRMs: our page, the CRM's consent page, and back")
    crms = []
    for slug in SLUGS:
        crms.append(connect(stack, slug))
        story.connected(crms[-1])
    story.blank()
    records = sample_records()
    sizes = ", ".join(f"{len(records[entity])} {entity} records" for entity in records)
    totals = dict.fromkeys(SLUGS, sum(map(len, records.values())))
    story.chapter(2, f"Commands on Kafka push {sizes} to each CRM")
    with story.working("push to", totals) as on_result:
        first = push_samples(stack.kafka, stack.workspace_id, records, on_result)
    story.pushed(first)
    story.reasons(first)
    story.chapter(3, "Pull commands read them back")
    with story.working("pull from", None) as on_result:
        pulls = pull_everything(stack.kafka, stack.workspace_id, on_result)
    story.pulled(pulls)
    story.chapter(4, "The same files once more")
    with story.working("push again to", totals) as on_result:
        again = push_samples(stack.kafka, stack.workspace_id, records, on_result)
    story.pushed(again)
    return crms, Account(first, again, pulls)


def _stay_up(story: Story, stack: Stack) -> None:
    """Wait for Ctrl-C, or for a program that ends by itself.

    Raises:
        Unreachable: One ended.
    """
    story.what_to_try(stack, write_settings(stack))
    try:
        while True:
            stack.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        story.stopping()


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM runs the same way out as Ctrl-C: children are stopped, then the demo ends.

    SIGINT is set too: a shell without job control starts programs in the background with it ignored.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
