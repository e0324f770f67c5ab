"""How far a training is, told by whichever process runs it to the one that waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from icedask.tasks.progress import stage
from icedask.tasks.run import active_client

Tell = Callable[[int], None]


class _Topic:
    """Tells from a task; goes to workers as it is."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, done: int) -> None:
        from distributed import get_worker

        get_worker().log_event(self._name, done)


@contextmanager
def told(description: str, total: int, n_ranks: int) -> Iterator[Tell]:
    """Show progress; yield what is to be called with how much is done, here or in a rank.

    Parameters
    ----------
    description, total
        Of the progress bar.
    n_ranks
        Ranks on workers, or one here.
    """
    with stage(description, total) as advance:
        done = 0

        def reached(number: int) -> None:
            nonlocal done
            # What begins anew does not go back.
            advance(max(number - done, 0))
            done = max(number, done)

        client = active_client() if n_ranks > 1 else None
        if client is None:
            yield reached
        else:
            topic = _Topic(f"training-{uuid4().hex}")

            def heard(event: Any) -> None:
                reached(event[1])

            client.subscribe_topic(topic._name, heard)
            try:
                yield topic
            finally:
                client.unsubscribe_topic(topic._name)
        reached(total)
