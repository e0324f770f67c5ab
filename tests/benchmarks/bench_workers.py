"""Throughput of two worker processes over one: SOAP -> PCA of 97,336 atoms.

python tests/benchmarks/bench_workers.py [n_frames] [rounds]      (default: 12 3)

One and two workers take turns on the same store, each in fresh processes; a first pass over one
frame, which loads what is compiled, is not timed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench_memory import write_frames

import icedask as ice

RESULTS = Path(__file__).parent / "results"


def seconds(store: Path, folder: Path, n_workers: int) -> float:
    """Return the time of one pass over the store."""
    options = {"n_workers": n_workers, "memory_limit": "3GB", "local_directory": folder}
    with ice.connect("local", **options) as client:
        trj = ice.open_trajectory(store)
        for frames in (slice(0, n_workers), slice(None)):
            soap = ice.soap(trj.isel(frame=frames), r_cut=6.0, n_max=8, l_max=8, sigma=0.5)
            client.wait_for_workers(n_workers)
            begun = time.perf_counter()
            ice.PCA(5).fit(soap)
        return time.perf_counter() - begun


def main() -> None:
    """Take turns, and write the table."""
    n_frames, rounds = (int(word) for word in [*sys.argv[1:], "12", "3"][:2])
    spent: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_frames(folder / "ice.extxyz", n_frames)
        with ice.connect("local", n_workers=2):
            ice.ingest(folder / "ice.extxyz", folder / "run.zarr", frame_interval=1.0)
        for number in range(rounds):
            for n_workers in (1, 2) if number % 2 == 0 else (2, 1):
                spent[n_workers].append(seconds(folder / "run.zarr", folder, n_workers))
                print(n_workers, f"{spent[n_workers][-1]:.1f} s", flush=True)
    ratios = [alone / both for alone, both in zip(spent[1], spent[2], strict=True)]
    lines = [
        "# Two worker processes over one",
        "",
        (__doc__ or "").partition("\n\n")[0] + " Seconds of one pass, in turns.",
        "",
        "| workers | " + " | ".join(f"round {n + 1}" for n in range(rounds)) + " | median |",
        "|" + "---|" * (rounds + 2),
        *(
            f"| {n} | " + " | ".join(f"{t:.1f}" for t in times) + f" | {median(times):.1f} |"
            for n, times in spent.items()
        ),
        "| ratio | " + " | ".join(f"{r:.2f}" for r in ratios) + f" | {median(ratios):.2f} |",
    ]
    (RESULTS / "workers.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
