"""Cost of the graph alone: SOAP -> PCA fit -> transform -> save of 100,000 atoms, kernels empty.

python tests/benchmarks/bench_scale.py [n_blocks ...]      (default: 1000 10000 40000)

The graph is that of real data; the functions that the workers call return at once. So what is
measured is what the client, the scheduler and the workers spend on tasks. Each line is a fresh
scheduler, two workers and a client, each in its own process. "once" sends everything as one graph.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
N_ATOMS = 100_000
BLOCKS_PER_FRAME = 4
FULL = 100_000 * BLOCKS_PER_FRAME
WIDTH = 324
# Beyond, one graph takes more than the patience of who waits for this table.
ONCE = 10_000


def dask_setup(worker: Any) -> None:
    """Take the work out of the functions that a worker calls."""
    from icedask.descriptors import block
    from icedask.learn import pca
    from icedask.store import blocks as regions
    from icedask.tasks import moments

    tiny = np.zeros((1, 1, 1), np.float32)
    block_moments = moments.Moments(2, np.zeros(WIDTH), np.eye(WIDTH), 2)
    block.compute_block = lambda *_, **__: (tiny,)
    moments._block_moments = lambda *_: block_moments
    pca.project = lambda *_, **__: tiny
    regions._write_blocks = lambda *_: None


def positions(*_: Any) -> np.ndarray:
    """Stand in for a block read from disk."""
    return np.zeros((1, 1, 3), np.float32)


def trajectory(n_frames: int) -> Any:
    """Return a trajectory without positions in memory."""
    import dask.array as da

    from icedask.core.trajectory import trajectory

    chunks = (10, N_ATOMS, 3)
    layout = da.zeros((n_frames, N_ATOMS, 3), chunks=chunks, dtype=np.float32)
    empty = da.blockwise(
        positions, "fax", da.arange(n_frames, chunks=10), "f",
        new_axes={"a": N_ATOMS, "x": 3}, meta=layout._meta,
    )  # fmt: skip
    cell = np.broadcast_to(np.eye(3) * 100, (n_frames, 3, 3))
    return trajectory(empty, element=np.full(N_ATOMS, "O"), cell=cell, pbc=[True] * 3)


def peak_mb(process: int) -> float:
    """Return the high-water mark of the resident memory of a process, MB."""
    status = Path(f"/proc/{process}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def cpu_seconds(process: int) -> float:
    """Return the processor time that a process has taken, which a busy machine does not change."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[Any, list[int]]]:
    """Start a scheduler and two workers; yield a client and the process ids."""
    from distributed import Client

    file = folder / "scheduler.json"
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    preload = ["--preload", str(Path(__file__).resolve()), "--nthreads", "1", "--no-nanny"]
    python = [sys.executable, "-m"]
    commands = [
        [*python, "distributed.cli.dask_scheduler", *common, "--host", "127.0.0.1", "--port", "0"],
        *2 * [[*python, "distributed.cli.dask_worker", *common, *preload]],
    ]
    with (folder / "log").open("w") as log:
        started = [subprocess.Popen(c, stdout=log, stderr=log, cwd=folder) for c in commands]
    try:
        with Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(2, timeout=60)
            yield client, [process.pid for process in started]
    finally:
        for process in started:
            process.terminate()
            process.wait()


class Clock:
    """Seconds from the start of a stage to its first finished task and to its end."""

    def __init__(self) -> None:
        self.start = self.first = self.end = 0.0

    def watch(self, stage: Any) -> Any:
        """Return `stage` with its tasks watched."""

        @contextmanager
        def watched(description: str, total: int) -> Iterator[Any]:
            self.first = 0.0
            with stage(description, total) as advance:

                def seen(number: int) -> None:
                    if number and not self.first:
                        self.first = time.perf_counter() - self.start
                    advance(number)

                yield seen
            self.end = time.perf_counter() - self.start

        return watched


def run(n_blocks: int, mode: str) -> dict[str, Any]:
    """Run the chain for a number of blocks and return what it took."""
    import icedask as ice
    from icedask.tasks import graphs
    from icedask.tasks import run as compute

    if mode == "once":
        graphs.WAVE_TASKS = 10**9
    clock = Clock()
    compute.stage = clock.watch(compute.stage)
    with tempfile.TemporaryDirectory() as name, cluster(Path(name)) as (_, others):
        processes = [os.getpid(), *others]

        def step(function: Any) -> tuple[Any, dict[str, float]]:
            before = [cpu_seconds(process) for process in processes]
            clock.start = time.perf_counter()
            value = function()
            used = [cpu_seconds(p) - b for p, b in zip(processes, before, strict=True)]
            cpu = dict(zip(("client", "scheduler", "worker"), used, strict=False))
            return value, {"first": clock.first, "wall": clock.end, **cpu}

        start = time.perf_counter()
        # A first small run, so that workers have imported what they need.
        few = ice.soap(trajectory(2), r_cut=6.0, n_max=8, l_max=8)
        ice.PCA(5).fit(few)
        start = time.perf_counter()
        soap = ice.soap(trajectory(n_blocks // BLOCKS_PER_FRAME), r_cut=6.0, n_max=8, l_max=8)
        build = time.perf_counter() - start
        pca, fit = step(lambda: ice.PCA(5).fit(soap))
        _, save = step(lambda: ice.save(pca.transform(soap), Path(name) / "run.zarr"))
        return {
            "blocks": soap["soap"].data.npartitions,
            "mode": mode,
            "build": build,
            "fit": fit,
            "save": save,
            "client_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "scheduler_mb": peak_mb(others[0]),
        }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as text, with the time of the full case by the largest run of waves."""
    from icedask.tasks.graphs import WAVE_TASKS

    lines = [
        "# Scaling of the task graph",
        "",
        (__doc__ or "").split("\n\n")[-1].strip().replace("\n", " "),
        f"{os.cpu_count()} cores. Waves of {WAVE_TASKS:,} blocks. First: seconds to the first "
        "finished task. CPU: processor time of the process.",
        "",
        "| blocks | sent | step | first s | all s | CPU client s | CPU scheduler s "
        "| CPU one worker s | ms of scheduler per block |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        for name in ("fit", "save"):
            spent = row[name]
            lines.append(
                f"| {row['blocks']:,} | {row['mode']} | {name} | {spent['first']:.1f} "
                f"| {spent['wall']:.1f} | {spent['client']:.1f} | {spent['scheduler']:.1f} "
                f"| {spent['worker']:.1f} | {1e3 * spent['scheduler'] / row['blocks']:.2f} |"
            )
    lines += [
        "",
        "| blocks | sent | lazy Dataset s | peak client MB | peak scheduler MB |",
        "|---|---|---|---|---|",
        *(
            f"| {row['blocks']:,} | {row['mode']} | {row['build']:.1f} | {row['client_mb']:.0f} "
            f"| {row['scheduler_mb']:.0f} |"
            for row in rows
        ),
    ]
    largest = max((row for row in rows if row["mode"] == "waves"), key=lambda row: row["blocks"])
    scale = FULL / largest["blocks"] / 60
    lines += [
        "",
        f"100,000 frames x 100,000 atoms are {FULL:,} blocks of SOAP in each pass: the scheduler "
        f"is busy {scale * largest['fit']['scheduler']:.0f} minutes in the fit and "
        f"{scale * largest['save']['scheduler']:.0f} in transform and save, whatever the number of "
        "workers.",
        "",
    ]
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw time and memory against the number of blocks."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for mode, line, label in (("waves", "-", "waves"), ("once", "--", "one graph")):
        chosen = sorted((r for r in rows if r["mode"] == mode), key=lambda row: row["blocks"])
        x = [row["blocks"] for row in chosen]
        for name, colour, what in (("fit", "C0", "fit"), ("save", "C1", "transform, save")):
            left.plot(x, [r[name]["scheduler"] for r in chosen], "o" + line, color=colour,
                      label=f"{what}, {label}")  # fmt: skip
            left.plot(x, [r[name]["first"] for r in chosen], "x" + line, color=colour, alpha=0.5)
        for name, colour in (("client", "C0"), ("scheduler", "C1")):
            right.plot(x, [r[f"{name}_mb"] for r in chosen], "o" + line, color=colour,
                       label=f"{name}, {label}")  # fmt: skip
    left.set(
        xlabel="blocks", ylabel="CPU seconds of the scheduler\n(crosses: seconds to the first task)"
    )
    left.set_yscale("log")
    right.set(xlabel="blocks", ylabel="peak memory / MB")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set(xscale="log")
        axes.xaxis.set_minor_formatter("")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Run each size and mode in processes of its own."""
    if len(sys.argv) > 2 and sys.argv[1] == "--one":
        print(json.dumps(run(int(sys.argv[2]), sys.argv[3])))
        return
    sizes = [int(word) for word in sys.argv[1:]] or [1000, 10_000, 40_000]
    rows = []
    for n_blocks in sizes:
        for mode in ("waves", "once") if n_blocks <= ONCE else ("waves",):
            command = [sys.executable, __file__, "--one", str(n_blocks), mode]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(rows[-1], flush=True)
    (RESULTS / "scale.md").write_text(table(rows))
    draw(rows, RESULTS / "scale.png")


if __name__ == "__main__":
    main()
