"""Commands on the wire: whatever the contract allows comes out of JSON as it went in."""

import json
from datetime import datetime, timedelta, timezone

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import values
from schemas.command import SYNC_COMMAND, PullCommand, PushCommand, PushRecord


def _from(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(pattern, fullmatch=True)


FIELD = _from(values.MORKET_FIELD_PATTERN)
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANT = st.none() | st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES)  # noqa: DTZ001
FLAG = st.booleans()
NUMBER = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUE = st.none() | st.text() | FLAG | NUMBER | st.lists(st.text(), max_size=3)
HEAD = {
    "command_id": st.none() | _from(values.COMMAND_ID_PATTERN),
    "workspace_id": st.uuids(),
    "integration": _from(values.SLUG_PATTERN),
    "entity": _from(values.ENTITY_PATTERN),
    "dry_run": FLAG,
    "expires_at": INSTANT,
}


@st.composite
def _records(draw: st.DrawFn) -> PushRecord:
    fields = draw(st.dictionaries(FIELD, VALUE, max_size=3))
    return PushRecord(
        ref=draw(st.none() | _from(values.REF_PATTERN)),
        crm_id=draw(st.none() | _from(values.CRM_ID_PATTERN)),
        fields=fields,
        clear=draw(st.lists(FIELD.filter(lambda name: name not in fields), max_size=2)),
    )


COMMANDS = st.builds(
    PushCommand,
    **HEAD,
    direction=st.just("push"),
    mode=st.sampled_from(("upsert", "create", "update", "delete")),
    match_on=st.none() | st.lists(_from(values.MATCH_FIELD_PATTERN), min_size=1, max_size=1),
    write_policy=st.sampled_from((None, "overwrite", "fill_if_empty", "create_only")),
    strict=FLAG,
    records=st.lists(_records(), min_size=1, max_size=3),
) | st.builds(
    PullCommand,
    **HEAD,
    direction=st.just("pull"),
    limit=st.integers(1, 200),
    modified_since=INSTANT,
    cursor=st.none() | st.text(min_size=1),
    fields=st.none() | st.lists(FIELD, min_size=1, max_size=3),
    include_deleted=FLAG,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(command=COMMANDS)
def test_a_command_survives_the_wire(command: PushCommand | PullCommand) -> None:
    """Any valid command, written as JSON and read again, is the same command."""
    # Given any command, When it is written and read
    written = command.model_dump_json()

    # Then it is the same, whichever reader is used
    assert SYNC_COMMAND.validate_python(json.loads(written)) == command
    assert SYNC_COMMAND.validate_json(written) == command
