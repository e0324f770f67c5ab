"""Paths in the scripts of jobs, quoted for bash and for the directives of batch systems."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

# What every batch system takes in a directive as it is, and between double quotes.
_PLAIN = re.compile(r"[\w/.+@=-]+")
_QUOTABLE = re.compile(r"[\w/.+@= ,:()~-]+")


def quoted_python(python: str) -> str:
    """Return a Python for the line of a shell: a path, or words that start it in a container."""
    return shlex.quote(python) if Path(python).exists() else python


def quoted_with_variables(path: str) -> str:
    """Return a path for the line of a shell, which fills in variables and the home folder."""
    if _PLAIN.fullmatch(path) or path.startswith(("'", '"')):
        return path
    home = re.match(r"~[\w.-]*/?", path)
    start = home[0] if home else ""
    return start + '"' + path[len(start) :].replace('"', r"\"") + '"'


def quoted_output(
    header: str, folder: str, name: str, job_id: str, *, quotes: bool
) -> tuple[str, list[str]]:
    """Return directives with a quoted folder of the output, and lines for the job's script.

    Where the batch system does not take such a path, its own output is discarded and the script
    sends that of the job into the folder; `job_id` is the variable with the number of the job,
    `quotes` whether the system takes paths in double quotes.
    """
    if _PLAIN.fullmatch(folder):
        return header, []
    pattern = re.compile(r"^(#\S+ -[oe]) (" + re.escape(folder) + r".*)$", re.MULTILINE)
    if quotes and _QUOTABLE.fullmatch(folder):
        return pattern.sub(lambda match: f'{match[1]} "{match[2]}"', header), []
    lines = [f'exec >>{shlex.quote(folder)}/{shlex.quote(name)}-"${job_id}".out 2>&1']
    return pattern.sub(lambda match: f"{match[1]} /dev/null", header), lines
