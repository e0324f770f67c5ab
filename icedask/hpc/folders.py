"""Private folders of clusters and of submitted commands."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

from icedask.errors import InputError

CONNECTION = "scheduler.json"
LOCK = "lock"
FAILURE = "failure.txt"
_KEPT_SECONDS = 30 * 86400
SECRETS = {"ca": "ca.pem", "key": "key.pem"}


def home() -> Path:
    """Return the folder of clusters and submitted commands, which all nodes must see."""
    return Path(os.environ.get("ICEDASK_HOME") or Path.home() / ".icedask").resolve()


def make_folder(kind: str, name: str) -> Path:
    """Make a folder of mode 700, and delete folders older than a month.

    Raises InputError if the path is not valid in a job's script.
    """
    folder = home() / kind / name
    if not re.fullmatch(r"[\w/.+@=-]+", str(folder)):
        raise InputError(
            f"{home()}: expected a path without spaces and special characters of shells; "
            "set ICEDASK_HOME to another folder that all nodes see"
        )
    try:
        home().mkdir(mode=0o700, parents=True, exist_ok=True)
        _drop_old(home() / kind)
        # The home may be a folder for other things too: its mode is the user's choice.
        for path in (home() / kind, folder, folder / "logs"):
            path.mkdir(mode=0o700, exist_ok=True)
            path.chmod(0o700)
    except OSError as error:
        raise InputError(
            f"{home()}: expected a folder to write to, {error.strerror}; set ICEDASK_HOME to one "
            "that all nodes see"
        ) from error
    return folder


def _drop_old(kind: Path) -> None:
    """Delete the logs of clusters and commands that ended a month ago."""
    for path in kind.glob("*"):
        ended = not (path / CONNECTION).exists()
        if ended and time.time() - path.stat().st_mtime > _KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def cluster_folder(name: str) -> Path:
    """Return the folder of a cluster of this name.

    Raises InputError if the name could be mistaken for a path, an address or a file.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}", name):
        raise InputError(f"name: expected letters, digits, - and _, found {name!r}")
    return home() / "clusters" / name


def unused_name(profile: str) -> str:
    """Return a name for a cluster that ends with its client."""
    return f"{profile}-{secrets.token_hex(4)}"


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
