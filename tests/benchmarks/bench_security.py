"""Encrypted local workers beside open ones: start-up, and throughput of SOAP -> PCA.

python tests/benchmarks/bench_security.py [rounds]      (default: 3)

Both take turns in one run on 24 frames of the shipped trajectory; the ratio is that of the medians.
"""

from __future__ import annotations

import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

import icedask as ice

DUMP = Path(str(files("icedask") / "data" / "mw_nucleation.lammpstrj.gz"))
KINDS: dict[str, dict[str, Any]] = {"open": {"protocol": "tcp://"}, "encrypted": {}}


def seconds(store: Path, kind: str) -> tuple[float, float]:
    """Return the times of the start and of one pass, after a pass that loads compiled kernels."""
    begun = time.perf_counter()
    with ice.connect(n_workers=2, memory_limit="2GB", **KINDS[kind]):
        started = time.perf_counter() - begun
        trj = ice.open_trajectory(store)
        for frames in (slice(0, 2), slice(None)):
            soap = ice.soap(trj.isel(frame=frames), r_cut=6.0, n_max=8, l_max=8)
            begun = time.perf_counter()
            ice.PCA(5).fit(soap)
        return started, time.perf_counter() - begun


def main() -> None:
    """Take turns, and print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    spent: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "run.zarr"
        options: dict[str, Any] = {"units": "real", "timestep": 10, "elements": "O"}
        ice.ingest(DUMP, store, frames="36:60", **options)
        for number in range(rounds):
            for kind in list(KINDS)[:: 1 if number % 2 == 0 else -1]:
                spent[kind].append(seconds(store, kind))
    for index, what in enumerate(("start", "SOAP -> PCA")):
        times = {kind: [pair[index] for pair in pairs] for kind, pairs in spent.items()}
        ratio = median(times["encrypted"]) / median(times["open"])
        shown = "; ".join(f"{k} {', '.join(f'{t:.2f}' for t in v)} s" for k, v in times.items())
        print(f"{what}: {shown}; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
