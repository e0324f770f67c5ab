"""Clients of schedulers that answer; a client that fails leaves nothing behind in this process."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import os
import re
import socket
import ssl
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

import dask
from dask.utils import parse_timedelta
from distributed import Client, Security
from distributed.comm import connect, parse_host_port
from distributed.core import send_recv

from icedask.errors import ComputeError, InputError
from icedask.hpc.folders import CONNECT_SECONDS

logger = logging.getLogger("icedask")

C = TypeVar("C", bound=Client)

_ABSENT = object()
# Least time for a client whose scheduler has answered, seconds.
_LEAST_SECONDS = 1.0


def reach(address: str, settings: dict[str, Any]) -> Client:
    """Connect to the scheduler at an address, with a message first: it may not answer.

    `settings` are those of `distributed.Client`.

    Raises
    ------
    InputError
        If there is no such setting.
    ComputeError
        If no scheduler answers to these keys in time.
    """
    known = set(inspect.signature(Client).parameters) - {"kwargs"}
    if unknown := sorted(set(settings) - known):
        raise InputError(
            f"connect: expected settings of distributed.Client for an address, found "
            f"{', '.join(unknown)}; the workers of {address} have theirs where they were started"
        )
    seconds = _seconds(settings.get("timeout", CONNECT_SECONDS))
    logger.info("connecting to %s, for up to %g s", address, seconds)
    begun = time.monotonic()
    try:
        ask_scheduler(address, settings.get("security"), seconds)
        left = max(seconds - (time.monotonic() - begun), _LEAST_SECONDS)
        return open_client(Client, **{**settings, "timeout": left})
    except Exception as error:
        raise ComputeError(
            f"no Dask scheduler answered at {address} within {seconds:g} s ({reason(error)}): "
            f"{_remedy(address, settings, error)}"
        ) from None


def _seconds(timeout: Any) -> float:
    try:
        seconds = float(parse_timedelta(timeout))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        seconds = 0.0
    if not seconds > 0:
        raise InputError(f"timeout: expected a time such as '30 s', found {timeout!r}")
    return seconds


def _remedy(address: str, settings: dict[str, Any], error: Exception) -> str:
    if address.startswith("tls://") and not settings.get("security"):
        return (
            "a scheduler at tls:// asks for its keys: give them, "
            "security=distributed.Security(...), or as distributed.comm.tls in Dask's configuration"
        )
    if address.startswith("tls://"):
        return "see that it runs, that this machine reaches it, and that the keys are its own"
    if re.search("closed|reset", str(error)):
        return f"something else listens there, or a scheduler with keys, of {_with_tls(address)}"
    return "see that it runs and that this machine reaches it"


def _with_tls(address: str) -> str:
    return f"tls://{address.partition('://')[2]}"


def ask_scheduler(address: str, security: Any, seconds: float) -> None:
    """Wait until a Dask scheduler answers at an address to one who has these keys.

    Without a client, in a thread and an event loop that end with it. Raises an OSError, or the
    error of the keys, if none answers in time; schedulers without an address of a network, and keys
    of a loader in Dask's configuration, are left to the client.
    """
    if address.partition("://")[0] not in ("tcp", "tls"):
        return
    if security is None and dask.config.get("distributed.client.security-loader", None):
        return
    keys = Security(**security) if isinstance(security, dict) else security or Security()
    answer: Future[None] = Future()

    def ask() -> None:
        try:
            asyncio.run(asyncio.wait_for(_ask(address, keys, seconds), seconds))
        except BaseException as error:
            answer.set_exception(error)
        else:
            answer.set_result(None)

    # An error does not wait for the end of the thread, which may be that of a name server.
    threading.Thread(target=ask, name="icedask-ask", daemon=True).start()
    try:
        answer.result(seconds + _LEAST_SECONDS)
    except TimeoutError:
        raise TimeoutError("no answer") from None


async def _ask(address: str, keys: Any, seconds: float) -> None:
    host, port = parse_host_port(address.partition("://")[2])
    # A name that is not known is an error at once.
    await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    arguments = keys.get_connection_args("client")
    # What is received is not unpickled.
    try:
        comm = await connect(address, timeout=0.9 * seconds, deserialize=False, **arguments)
    except OSError as error:
        if isinstance(error.__cause__, TimeoutError):
            # The last of many attempts was cut short: the reason is that of one more.
            (await asyncio.open_connection(host, port))[1].close()
        raise
    try:
        about = await send_recv(comm, op="identity", n_workers=0)
    except OSError:
        raise
    except Exception:
        # Of a worker or a nanny, which takes no such argument.
        about = None
    finally:
        comm.abort()
    if not isinstance(about, dict) or about.get("type") != "Scheduler":
        raise OSError("what answered is no scheduler")


def open_client(kind: type[C], *args: Any, **settings: Any) -> C:
    """Return a client; where it fails, none is active, and Dask's configuration is as before.

    Without this, one that could not connect stays the active client, and computations wait for it.
    """
    before = dask.config.get("scheduler", _ABSENT)
    client = kind.__new__(kind)
    try:
        kind.__init__(client, *args, **settings)
    except BaseException:
        with suppress(Exception):
            # In a context without a current client, which would keep the configuration.
            contextvars.Context().run(Client.close, client, timeout=_LEAST_SECONDS)
        if before is _ABSENT:
            dask.config.config.pop("scheduler", None)
        else:
            dask.config.set(scheduler=before)
        raise
    return client


def reason(error: BaseException) -> str:
    """Return the first line of the message of an error or of its cause, or its name."""
    # Errors of connections that were tried until the time was over have the reason as their cause.
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    # Numbers of errors of TLS and of name servers are others.
    own = not isinstance(cause, ssl.SSLError | socket.gaierror)
    if isinstance(cause, OSError) and own and cause.errno:
        return os.strerror(cause.errno)
    line = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
    return re.sub(r"^in <.*?>: ", "", line).rstrip(".") or type(cause).__name__
