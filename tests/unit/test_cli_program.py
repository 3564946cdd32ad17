"""The program `crm-sync` itself: its table of commands, exit codes, one-line errors, machine output."""

import json
import os
from pathlib import Path
from uuid import uuid4

import jwt
import pytest

from cli.main import COMMANDS, run
from cli.problems import ExitCode
from crm.vault import MasterKeys

_OURS = ("CRM_SYNC_", "CRM_SANDBOX_", "KAFKA_", "SALESFORCE_", "HUBSPOT_", "INTEGRATION_", "DATABASE_URL")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command of the table exists and has a help text."""
    # Given / When
    code = run([command, "--help"])
    # Then
    assert code == ExitCode.DONE
    assert f"Usage: crm-sync {command}" in capsys.readouterr().out


def test_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that is not there is wrong usage."""
    # Given / When
    code = run(["nonsense"])
    # Then
    assert code == ExitCode.USAGE
    assert "No such command 'nonsense'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["migrate"], ["DATABASE_URL"]),
        (["topics"], ["KAFKA_BOOTSTRAP_SERVERS"]),
        (["workspaces", "list"], ["DATABASE_URL"]),
        (["connect", "hubspot"], ["CRM_SYNC_API_URL", "CRM_SYNC_API_TOKEN"]),
        (["token"], ["CRM_SYNC_JWT_SECRET"]),
        (["history"], ["CRM_SYNC_WORKSPACE"]),
        (["watch", "c1", "--workspace", str(uuid4())], ["CRM_SYNC_API_URL", "DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"]),
        (["history", "--workspace", str(uuid4())], ["CRM_SYNC_API_URL", "DATABASE_URL"]),
        (["worker"], ["DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "CRM_SYNC_MASTER_KEYS"]),
        (["relay"], ["DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"]),
        (["api"], ["DATABASE_URL", "CRM_SYNC_MASTER_KEYS", "INTEGRATION_OAUTH_REDIRECT_BASE"]),
    ],
)
def test_missing_settings_are_named(arguments: list[str], names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A command without its settings names each of them, without a traceback, with the exit code of wrong settings."""
    # Given / When
    code = run(arguments)
    # Then
    shown = capsys.readouterr()
    assert code == ExitCode.USAGE
    assert shown.out == ""
    assert all(name in shown.err for name in names)
    assert "Traceback" not in shown.err


def test_unreachable_database_is_one_line_without_the_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A database that does not answer is told in one line that hides the password."""
    # Given
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:hunter22@127.0.0.1:1/crm")
    # When
    code = run(["migrate"])
    # Then
    shown = capsys.readouterr().err
    assert code == ExitCode.UNREACHABLE
    assert "127.0.0.1" in shown
    assert "check DATABASE_URL" in shown
    assert "hunter22" not in shown
    assert len(shown.strip().splitlines()) == 1


def test_new_key_is_one_that_the_vault_takes(capsys: pytest.CaptureFixture[str]) -> None:
    """`keys new` prints a line that CRM_SYNC_MASTER_KEYS accepts, and another one each time."""
    # Given / When
    run(["keys", "new", "--id", "k7"])
    first = capsys.readouterr().out.strip()
    run(["keys", "new", "--id", "k7", "--json"])
    second = json.loads(capsys.readouterr().out)
    # Then
    MasterKeys.parse(f"{first},{second['master_key'].replace('k7', 'k8', 1)}")
    assert second["key_id"] == "k7"
    assert first != second["master_key"]


def test_token_is_signed_for_the_workspace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`token` prints one line: a JWT with the workspace, the scopes, and audience and issuer of the API's settings."""
    # Given
    workspace, secret = str(uuid4()), "not-a-secret-not-a-secret-not-a-secret"
    monkeypatch.setenv("CRM_SYNC_JWT_SECRET", secret)
    # When
    code = run(["token", "--workspace", workspace, "--scope", "sync:write"])
    # Then
    printed = capsys.readouterr().out
    claims = jwt.decode(printed.strip(), secret, algorithms=["HS256"], audience="crm-sync", issuer="morket")
    assert code == ExitCode.DONE
    assert printed.count("\n") == 1
    assert (claims["workspace_id"], claims["scope"]) == (workspace, "sync:write")


def test_doctor_reports_every_problem_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Without any setting `doctor` still looks at everything, and says what is missing."""
    # Given / When
    code = run(["doctor", "--json"])
    # Then
    document = json.loads(capsys.readouterr().out)
    texts = " ".join(finding["text"] for finding in document["findings"])
    assert code == ExitCode.ATTENTION
    assert document["healthy"] is False
    for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "CRM_SYNC_MASTER_KEYS", "INTEGRATION_OAUTH_REDIRECT_BASE"):
        assert name in texts


def test_publish_stops_before_it_reaches_for_the_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown column ends `publish` before anything is sent: here there is no broker to send to."""
    # Given
    path = tmp_path / "leads.csv"
    path.write_text("E-mail;last_name\nada@example.com;Lovelace\n", encoding="utf-8")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    # When
    code = run(["publish", str(path), "--to", "salesforce", "--entity", "person", "--workspace", str(uuid4())])
    # Then
    assert code == ExitCode.USAGE
    expected = 'Error: column "E-mail" is not a Morket field; did you mean "email"? use --map "E-mail=email"\n'
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "hubspot", "--entity", "person"], "name a FILE to push, or ask for --pull"),
        (["x.csv", "--to", "hubspot", "--entity", "person", "--pull"], "--pull reads from the CRM"),
        (["x.csv", "--to", "hubspot", "--entity", "person", "--limit", "5"], "belong to --pull"),
        (["--to", "hubspot", "--entity", "no entity", "--pull"], "entity:"),
    ],
)
def test_publish_refuses_what_does_not_fit_together(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options of a push and of a pull exclude each other; what the contract refuses is not sent."""
    # Given
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    # When
    code = run(["publish", *arguments, "--workspace", str(uuid4())])
    # Then
    assert code == ExitCode.USAGE
    assert words in capsys.readouterr().err
