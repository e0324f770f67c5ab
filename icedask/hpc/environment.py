"""What the environment of every worker process has before it starts."""

from __future__ import annotations

from typing import Any

# bytes. Dask has a worker give every free piece of memory back at once; the blocks of results, and
# what kernels need for them, are then taken from the system again and again, page by page. Keeping
# as much as a few blocks halved the time of SOAP and its moments on a virtual machine, and costs a
# worker about 100 MB.
_KEPT = 2**27
MEMORY = {"MALLOC_TRIM_THRESHOLD_": _KEPT, "MALLOC_MMAP_THRESHOLD_": _KEPT}


def nanny_settings() -> dict[str, Any]:
    """Return Dask's configuration for the processes that start workers."""
    return {"distributed": {"nanny": {"pre-spawn-environ": dict(MEMORY)}}}
