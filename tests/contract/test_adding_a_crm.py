"""The page `docs/adding-a-crm.md`: its adapter is installed as a package, connected, and passes the suite unedited."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint, PathDistribution
from pathlib import Path

import pytest

from crm.errors import LeaseLost
from crm.model import CallScope
from crm.registry import (
    ADAPTERS,
    ENTRY_POINT_GROUP,
    AdapterEntry,
    UnusableAdapterPackage,
    build_registry,
    listed_entries,
)
from services.connected_crm import Connected, client_settings, company, connect, person, settings_for
from services.toy_crm import toy_bench
from services.workspace import REPOSITORY

PAGE = REPOSITORY / "docs/adding-a-crm.md"
_FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n<!-- end of file -->", re.DOTALL)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's package, installed: its module and its `.dist-info` in a folder of `sys.path`."""
    files = dict(_FILE.findall(PAGE.read_text(encoding="utf-8")))
    project = tomllib.loads(files["pyproject.toml"])["project"]
    (tmp_path / "toycrm.py").write_text(files["toycrm.py"], encoding="utf-8")
    about = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("toycrm", None)


@pytest.fixture
def toy(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connected]:
    assert (package / "toycrm.py").exists()
    with toy_bench() as bench:
        for name, value in client_settings(bench).items():
            monkeypatch.setenv(name, value)
        yield connect(bench)


def test_an_installed_package_adds_its_crm(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CRM is listed after ours, not configured until its client is set; ours stay as they are."""
    # Given
    monkeypatch.delenv("TOYCRM_CLIENT_ID", raising=False)

    # When
    listed = build_registry(settings_for("http://127.0.0.1:1")).list()

    # Then
    assert [one.slug for one in listed] == ["salesforce", "hubspot", "toycrm"]
    assert (listed[-1].name, listed[-1].configured) == ("ToyCRM", False)
    assert listed_entries()[:2] == ADAPTERS
    assert package.exists()


def test_the_pages_adapter_connects_pushes_and_pulls(toy: Connected) -> None:
    """Two hundred records in batches of fifty, one of them refused; what was pushed comes back."""
    # Given
    records = [person(index, last_name=None if index == 77 else f"N{index}") for index in range(200)]

    # When
    result = toy.push(records)
    pulled = toy.pull()

    # Then
    actions = [outcome.action for outcome in result.outcomes]
    assert (actions.count("created"), actions[77]) == (199, "failed")
    assert (result.outcomes[77].errors[0].code, result.outcomes[77].errors[0].field) == (
        "required_field_missing",
        "last_name",
    )
    assert {record.fields["email"] for record in pulled} == {f"p{index}@acme.io" for index in range(200)} - {
        "p77@acme.io"
    }
    assert max(call.records or 0 for call in toy.bench.calls() if call.is_write) == toy.adapter.capabilities.batch_size
    assert [outcome.action for outcome in toy.push([company(1)], toy.company).outcomes] == ["created"]


def test_the_pages_adapter_stops_between_two_batches_when_the_lease_is_lost(toy: Connected) -> None:
    """`LeaseLost` leaves `push_records` also after a batch was written."""
    # Given
    leave = iter([None] * 5)

    def before_send(_timeout_s: float) -> None:
        if next(leave, "lost") == "lost":
            raise LeaseLost("another worker owns the partition")

    # When / Then four look-ups and one write leave
    with pytest.raises(LeaseLost):
        toy.push([person(index) for index in range(200)], scope=CallScope(before_send=before_send))
    assert len(toy.stored(toy.person)) == toy.adapter.capabilities.batch_size


def test_the_pages_adapter_passes_the_conformance_suite(package: Path) -> None:
    """The suite runs in a process of its own, where the package is installed; not one line of it knows ToyCRM."""
    # Given
    path = os.pathsep.join([str(package), str(REPOSITORY), str(REPOSITORY / "tests")])
    suite = ["tests/contract/test_adapter_conformance.py", "tests/contract/test_adapter_faults.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-k", "toycrm", "-p", "no:cacheprovider", *suite]

    # When
    ran = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    # Then
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    assert int(re.findall(r"(\d+) passed", ran.stdout)[-1]) > 50
    assert not re.search(r"skipped|xfailed", ran.stdout)


NOT_AN_ENTRY = "no entry"
TAKEN = AdapterEntry("hubspot", "Another HubSpot", ("hubspot.example",), lambda parts: parts.settings)  # type: ignore[arg-type,return-value]
BAD_SLUG = AdapterEntry("Bad Slug", "Bad", ("bad.example",), TAKEN.factory)
BAD_HOST = AdapterEntry("badhost", "Bad", ("com",), TAKEN.factory)
NO_HOST = AdapterEntry("nohost", "Bad", (), TAKEN.factory)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("broken_adapters:NOT_AN_ENTRY", "is no AdapterEntry but str"),
        ("broken_adapters:TAKEN", "there is one of this slug already"),
        ("broken_adapters:BAD_SLUG", "whose slug 'Bad Slug' is none"),
        ("broken_adapters:BAD_HOST", "no host names: 'com'"),
        ("broken_adapters:NO_HOST", "no host names: none at all"),
        ("broken_adapters:ABSENT", "cannot be loaded: AttributeError"),
        ("no_such_module:ENTRY", "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_a_package_that_cannot_be_used_is_refused_by_name(
    package: Path, monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    """The text names the package and what is wrong with it; nothing is left out silently."""
    # Given
    monkeypatch.setitem(sys.modules, "broken_adapters", sys.modules[__name__])
    (about,) = package.glob("*.dist-info")
    point = EntryPoint("broken", value, ENTRY_POINT_GROUP)._for(PathDistribution(about))  # type: ignore[attr-defined]

    # When / Then
    with pytest.raises(UnusableAdapterPackage, match=re.escape(words)) as refused:
        listed_entries([point])
    assert "the package toycrm-for-morket (entry point broken)" in str(refused.value)


def test_two_packages_with_one_slug_are_refused(package: Path) -> None:
    """Which of the two would be called must not depend on the order of installation."""
    # Given
    (about,) = package.glob("*.dist-info")
    point = EntryPoint("toycrm", "toycrm:ENTRY", ENTRY_POINT_GROUP)._for(PathDistribution(about))  # type: ignore[attr-defined]

    # When / Then
    with pytest.raises(UnusableAdapterPackage, match="toycrm"):
        listed_entries([point, point])
