"""What a worker may do in face of a claim that is there already: the judgement as a table."""

from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from crm.store.claims import Claim, ClaimRequest, judge
from crm.store.ownership import PartitionId
from services.commands_in import WORKSPACE

READY = datetime(2026, 11, 22, 11, 57, tzinfo=UTC)
#: Seconds for which the former owner may still be running the command, as PostgreSQL gives them.
BOUND = Decimal("20.5")
HERE, THERE = PartitionId("commands", 3), PartitionId("commands", 4)


def request(**changes: Any) -> ClaimRequest:
    """A command at commands/3, offset 10, under epoch 5."""
    values = {"partition": HERE, "offset": 10, "epoch": 5, "body_hash": b"same"} | changes
    return ClaimRequest(
        WORKSPACE, "c-1", values["body_hash"], "salesforce", *(values[n] for n in ("partition", "offset", "epoch"))
    )


def found(**changes: Any) -> Any:
    """The row of a claim at commands/3, offset 10, under epoch 4, whose lease is over."""
    values = {
        "body_hash": memoryview(b"same"), "state": "running", "attempt": 2, "topic": "commands", "partition": 3,
        "message_offset": 10, "epoch": 4, "first_ready_at": READY, "bound_for_s": Decimal("-1.0"),
    }  # fmt: skip
    return SimpleNamespace(**(values | changes))


TAKE_OVER = Claim("run", 3, READY)
WAIT = Claim("wait", 2, READY, 20.5)
OWN = Claim("run", 2, READY)


@pytest.mark.parametrize(
    ("asked", "row", "verdict"),
    [
        pytest.param({}, {"state": "done"}, Claim("done"), id="answered before"),
        pytest.param({}, {"state": "done", "bound_for_s": BOUND}, Claim("done"), id="answered, lease still runs"),
        pytest.param({"body_hash": b"other"}, {}, Claim("reused"), id="another body while it runs"),
        pytest.param({"body_hash": b"other"}, {"state": "done"}, Claim("reused"), id="another body, answered"),
        pytest.param({}, {}, TAKE_OVER, id="former owner's lease is over"),
        pytest.param({}, {"bound_for_s": None}, TAKE_OVER, id="nobody owned the partition"),
        pytest.param({}, {"bound_for_s": Decimal(0)}, TAKE_OVER, id="lease ends this moment"),
        pytest.param({}, {"bound_for_s": BOUND}, WAIT, id="former owner's lease still runs"),
        pytest.param({}, {"epoch": 5}, OWN, id="our own claim, its answer was lost"),
        pytest.param({}, {"epoch": 5, "bound_for_s": BOUND}, OWN, id="our own retry, under our own lease"),
        pytest.param(
            {}, {"epoch": 5, "message_offset": 9, "bound_for_s": BOUND}, Claim("duplicate", 2, READY),
            id="a second message with the id behind the running one",
        ),
        pytest.param({}, {"message_offset": 9, "bound_for_s": BOUND}, WAIT, id="second message, owner bound"),
        pytest.param({}, {"message_offset": 9}, TAKE_OVER, id="second message, the former owner is gone"),
        pytest.param({"partition": THERE}, {"epoch": 5, "bound_for_s": BOUND}, WAIT, id="runs in another partition"),
        pytest.param({"partition": THERE}, {"epoch": 5}, TAKE_OVER, id="ran in another partition, lease over"),
    ],
)  # fmt: skip
def test_a_claim_is_judged(asked: dict[str, Any], row: dict[str, Any], verdict: Claim) -> None:
    """Answered once; run by one at a time; taken over only when the former owner cannot be running it any more."""
    # Given a request and the claim that it met
    wanted, there = request(**asked), found(**row)
    # When, Then
    assert judge(wanted, there) == verdict
