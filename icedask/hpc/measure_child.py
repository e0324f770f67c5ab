"""The process that is measured: it computes and writes some blocks as a worker would.

    python -m icedask.hpc.measure_child FOLDER LAUNCHED

The folder holds the pickled blocks to compute, the first of them to warm up with; LAUNCHED is the
monotonic clock when the process was started. What was measured is left in the folder.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from pathlib import Path

# A worker holds the modules of distributed, so the process that stands for one holds them too.
import distributed  # noqa: F401
from dask.local import get_sync

from icedask.errors import IcedaskError
from icedask.tasks.graphs import Wave

WAVES, RESULT = "waves.pickle", "measured.json"
# Seconds of a block beyond which no further one is measured.
LONG = 30.0


def peak_bytes() -> int:
    """Return the high-water mark of this process' memory.

    That of getrusage would not do: a process inherits there the mark of the one that started it.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])


def timed(wave: Wave) -> dict[str, float]:
    """Compute one block in this thread and return its times."""
    wall, cpu = time.perf_counter(), time.process_time()
    get_sync(dict(wave.graph), list(wave.tasks))
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


def measure(waves: list[Wave], launched: float) -> dict[str, object]:
    """Compute the first block to compile and to load what is compiled, then time the others."""
    warm = timed(waves[0])["seconds"]
    ready = time.monotonic() - launched
    blocks: list[dict[str, float]] = []
    for wave in waves[1:]:
        blocks.append(timed(wave))
        if max(warm, blocks[-1]["seconds"]) > LONG:
            break
    # Of the first block, what the work itself takes is no part of the start.
    startup = ready - min(warm, blocks[0]["seconds"])
    return {"startup_seconds": startup, "peak_memory_bytes": peak_bytes(), "blocks": blocks}


def main() -> None:
    """Measure, or say in one line why not."""
    folder, launched = Path(sys.argv[1]), float(sys.argv[2])
    waves = pickle.loads((folder / WAVES).read_bytes())
    try:
        result = measure(waves, launched)
    except (IcedaskError, OSError) as error:
        sys.exit(str(error))
    (folder / RESULT).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
