"""Under which account a server runs: PostgreSQL refuses to run as root, so root hands it to ``nobody``."""

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.embedded.errors import EmbeddedServerError

UNPRIVILEGED_NAME = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine, by number."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Run:
    """What ``subprocess.Popen`` needs to start a program under an account."""

    argv: tuple[str, ...]
    uid: int | None = None
    gid: int | None = None
    extra_groups: tuple[int, ...] | None = None


def unprivileged_account() -> Account | None:
    """Return the account for a server that refuses root, or None when we are not root and our own account will do.

    Raises:
        EmbeddedServerError: We are root on a machine that has no account ``nobody``.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(UNPRIVILEGED_NAME)
    except KeyError:
        raise EmbeddedServerError(
            f"root cannot run this server and the account {UNPRIVILEGED_NAME!r} does not exist; run as another user"
        ) from None
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def is_reachable_by_others(path: Path) -> bool:
    """Tell whether any account may walk through every folder above a path."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def argv_as(account: Account | None, argv: Sequence[str], *paths: Path) -> Run:
    """Plan a start under an account.

    A checkout below a private folder such as ``/root`` is out of reach for ``nobody``. Opening that folder to everybody
    would be worse than the cure: there the program keeps the one capability that walks through folders
    (``capabilities(7)``, CAP_DAC_OVERRIDE, as an ambient capability).

    Args:
        account: Who runs it; None is our own account.
        argv: Absolute path of the program, and its arguments.
        paths: What the program must reach besides itself.

    Raises:
        EmbeddedServerError: The capability is needed and ``setpriv`` (util-linux) is not on this machine.
    """
    if account is None:
        return Run(tuple(argv))
    if all(is_reachable_by_others(path) for path in (Path(argv[0]), *paths)):
        return Run(tuple(argv), account.uid, account.gid, ())
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedServerError(f"{argv[0]} lies in a folder that only root may enter; run as a user other than root")
    drop = (f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups")
    keep = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    return Run((setpriv, *drop, *keep, "--", *argv))


def run_to_end(account: Account | None, argv: Sequence[str], *paths: Path) -> "subprocess.CompletedProcess[str]":
    """Run a short program under an account and return what it printed (standard error joined to standard output)."""
    run = argv_as(account, argv, *paths)
    return subprocess.run(  # noqa: S603 - our own binary and arguments, no shell
        run.argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=paths[0],
        user=run.uid,
        group=run.gid,
        extra_groups=run.extra_groups,
    )
