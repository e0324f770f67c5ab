"""Private folders of clusters and of submitted commands."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from icedask.errors import InputError

CONNECTION = "scheduler.json"
# Time in which a scheduler that runs answers, seconds.
CONNECT_SECONDS = 10
LOCK = "lock"
FAILURE = "failure.txt"
MARKER = ".icedask"
# The ids of the jobs of a submitted command.
IDS = "ids"
# Age of the last file of an ended cluster or command at which its folder is deleted, seconds.
KEPT_SECONDS = 30 * 86400
SECRETS = {"ca": "ca.pem", "key": "key.pem"}


def home() -> Path:
    """Return the folder of clusters and submitted commands, which all nodes must see."""
    return Path(os.environ.get("ICEDASK_HOME") or Path.home() / ".icedask").resolve()


def make_folder(kind: str, name: str) -> Path:
    """Make a folder of mode 700 with the marker of icedask, or return the one that is there.

    Raises InputError if a folder of this name is not icedask's, or cannot be made.
    """
    folder = home() / kind / name
    if not str(folder).isprintable():
        raise InputError(
            f"{str(home())!r}: expected a path without line breaks and other control characters; "
            "set ICEDASK_HOME to another folder that all nodes see"
        )
    try:
        # The home, and folders there that have this name already, may be for other things too:
        # their mode is the user's choice.
        home().mkdir(mode=0o700, parents=True, exist_ok=True)
        (home() / kind).mkdir(mode=0o700, exist_ok=True)
        if not os.path.lexists(folder):
            _make_marked(folder)
        if not is_own(folder):
            raise InputError(
                f"{folder}: expected a folder that icedask made, found one without its marker "
                f"({MARKER}); choose another name, or move it away"
            )
        for path in (folder, folder / "logs"):
            path.mkdir(mode=0o700, exist_ok=True)
            path.chmod(0o700)
    except OSError as error:
        raise InputError(
            f"{home()}: expected a folder to write to, {error.strerror}; set ICEDASK_HOME to one "
            "that all nodes see"
        ) from error
    return folder


def _make_marked(folder: Path) -> None:
    """Make a folder that has its marker from the first moment on."""
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    part.mkdir(mode=0o700)
    write_private(part / MARKER, _mark(folder))
    try:
        part.rename(folder)
    except OSError:
        # Another process made it meanwhile.
        shutil.rmtree(part)


def _mark(folder: Path) -> str:
    """Return the content of the marker, which a folder that was renamed to be kept has not."""
    return f"made by icedask: {folder.parent.name}/{folder.name}\n"


def is_own(folder: Path) -> bool:
    """Return whether icedask made a folder for this user: its marker is there, and no link."""
    marker = folder / MARKER
    try:
        return (
            stat.S_ISDIR(folder.lstat().st_mode)
            and stat.S_ISREG(marker.lstat().st_mode)
            and marker.lstat().st_uid == os.getuid()
            and marker.read_text() == _mark(folder)
        )
    except (OSError, UnicodeDecodeError):
        return False


def remove_folder(folder: Path) -> None:
    """Delete a folder that icedask made; any other is left alone."""
    if is_own(folder):
        # Out of sight at once: another process may want the name.
        part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
        with suppress(OSError):
            folder.rename(part)
            shutil.rmtree(part, ignore_errors=True)


def sweep(kind: str, has_ended: Callable[[Path], bool]) -> None:
    """Delete the folders that icedask made whose cluster or command ended a month ago."""
    for folder in (home() / kind).glob("*"):
        old = is_own(folder) and time.time() - _last_change(folder) > KEPT_SECONDS
        # Asked last: the answer may be that of a batch system.
        if old and has_ended(folder):
            remove_folder(folder)


def _last_change(folder: Path) -> float:
    """Return the time of the latest change in a folder and in that of its logs, s."""
    paths = [folder, *folder.glob("*"), *folder.glob("logs/*")]
    times = []
    for path in paths:
        with suppress(OSError):
            times.append(path.lstat().st_mtime)
    return max(times, default=time.time())


def cluster_folder(name: str) -> Path:
    """Return the folder of a cluster of this name.

    Raises InputError if the name could be mistaken for a path, an address or a file.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}", name):
        raise InputError(f"name: expected letters, digits, - and _, found {name!r}")
    return home() / "clusters" / name


def running() -> list[Path]:
    """Return the folders of the clusters of this user that have a connection file."""
    files = sorted((home() / "clusters").glob(f"*/{CONNECTION}"))
    return [file.parent for file in files if connection(file.parent) is not None]


def running_cluster(name: str) -> Path:
    """Return the folder of a cluster that has a connection file; InputError if it has none."""
    folder = cluster_folder(name)
    if connection(folder) is None:
        names = ", ".join(path.name for path in running()) or "none"
        raise InputError(f"no cluster {name!r} runs; there are {names}")
    return folder


def submitted() -> list[Path]:
    """Return the folders of the submitted commands that have an id, the newest first."""
    files = sorted((home() / "submitted").glob(f"*/{IDS}"), reverse=True)
    return [file.parent for file in files]


def unused_name(profile: str) -> str:
    """Return a name for a cluster that ends with its client."""
    # Profiles may have spaces and dots in their names.
    stem = re.sub(r"[^A-Za-z0-9]+", "-", profile).strip("-")[:30] or "jobs"
    return f"{stem}-{secrets.token_hex(4)}"


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 600 atomically."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.unlink(missing_ok=True)
    with open(part, "x", opener=open_private) as file:
        file.write(text)
    part.replace(path)


def connection(folder: Path) -> dict[str, Any] | None:
    """Return the connection file of a cluster's folder, or None where there is none."""
    try:
        values: dict[str, Any] = json.loads((folder / CONNECTION).read_text())
    except (OSError, ValueError):
        return None
    return values


def open_private(path: str, flags: int) -> int:
    """Open a file of mode 600; the `opener` of `open`."""
    return os.open(path, flags, 0o600)
