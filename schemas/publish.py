"""Writes what other programs and people read of the contracts: `python -m schemas.publish [--check]`.

JSON Schemas, the AsyncAPI document and the generated sections of the documentation come from the models. With `--check`
nothing is written, and the exit code is 1 when a file that is checked in differs.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from schemas import asyncapi
from schemas.json_schemas import Json, published_schemas
from schemas.tables import contract_sections, error_sections

ROOT: Final = Path(__file__).resolve().parent.parent

_SECTION: Final = re.compile(r"(<!-- generated: ([^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


class UnknownSection(ValueError):
    """A page asks for a generated section that does not exist, or leaves out one that it should show."""


def published(root: Path = ROOT) -> dict[Path, str]:
    """Path -> content of every published file, as it should be.

    Args:
        root: The repository; its documentation pages hold the places of the generated sections.

    Raises:
        UnknownSection: A page and its generated sections do not fit.
        FileNotFoundError: A page is missing.
    """
    files = {root / "schemas/json" / name: _json(schema) for name, schema in published_schemas().items()}
    files[root / "schemas/asyncapi.json"] = _json(asyncapi.document())
    for page, sections in (("contracts.md", contract_sections()), ("errors.md", error_sections())):
        path = root / "docs" / page
        files[path] = fill(path.read_text(encoding="utf-8"), sections)
    return files


def fill(page: str, sections: Mapping[str, str]) -> str:
    """`page` with each `<!-- generated: NAME -->` … `<!-- end -->` holding its section.

    Raises:
        UnknownSection: A name without a section, or a section without a place.
    """
    places = [match[2] for match in _SECTION.finditer(page)]
    if set(places) != set(sections):
        odd = ", ".join(sorted(set(places) ^ set(sections)))
        raise UnknownSection(f"the generated sections and their places do not fit: {odd}")
    return _SECTION.sub(lambda match: f"{match[1]}{sections[match[2]]}\n{match[3]}", page)


def stale(files: Mapping[Path, str]) -> list[Path]:
    """The files whose content on disk differs, or that are missing."""
    return [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write what differs, or only name it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m schemas.publish", description="Publish the wire contracts.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a file differs")
    options = parser.parse_args(arguments)
    files = published(root)
    differing = stale(files)
    for path in differing:
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
        sys.stdout.write(f"{'differs' if options.check else 'wrote'}: {path.relative_to(root)}\n")
    if options.check and differing:
        sys.stdout.write("run `python -m schemas.publish` and check the files in\n")
    return 1 if options.check and differing else 0


def _json(document: Json) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
