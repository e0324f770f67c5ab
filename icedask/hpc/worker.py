"""What each local worker process does first."""

from __future__ import annotations

import logging
import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave an interrupt from the keyboard to the client, which ends its workers in good order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # It warns of every task that it is told to give up.
    logging.getLogger("distributed.worker").setLevel(logging.ERROR)
