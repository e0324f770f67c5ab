"""Structure and dynamics of about 100,000 molecules, 50 frames, on two workers of 3 GB.

python tests/benchmarks/bench_structure_dynamics.py [n_atoms] [n_frames]   (default: 102400 50)

From a store to the states by SOAP, LENS and both: wall time, peak memory of a worker and of the
client, and the share of each stage. The trajectory is the shipped one, its cells repeated.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from bench_plan import make_store

import icedask as ice
from icedask.hpc.measure import peak_bytes

RESULTS = Path(__file__).parent / "results"
SETTINGS = {"preset": "ice-water", "window": 20}


def stages(store: Path) -> pd.Series:
    """Return the seconds of each kind of stage of the last computation."""
    (report,) = [r for r in ice.progress(store)["reports"] if r["what"] == "structure-dynamics"]
    spent = [
        (stage["description"], stage["updated"] - stage["started"]) for stage in report["stages"]
    ]
    return pd.DataFrame(spent, columns=["stage", "seconds"]).groupby("stage")["seconds"].sum()


def main() -> None:
    """Run once, and write the table."""
    n_atoms, n_frames = (int(word) for word in [*sys.argv[1:], "102400", "50"][:2])
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "run.zarr"
        make_store(store, n_atoms, n_frames)
        with ice.connect("local", n_workers=2, memory_limit="3GB") as client:
            client.wait_for_workers(2)
            trj = ice.open_trajectory(store)
            begun = time.perf_counter()
            ice.workflows.structure_dynamics(trj, store, **SETTINGS)
            total = time.perf_counter() - begun
            workers = max(client.run(peak_bytes).values()) / 1e6
        spent = stages(store).sort_values(ascending=False)
        runs = ice.list_runs(store)
    lines = [
        "# Structure and dynamics of 100,000 molecules",
        "",
        f'`structure_dynamics(trj, store, preset="ice-water", window=20)`: '
        f"{trj.sizes['atom']:,} molecules, {trj.sizes['frame']} frames, two workers of 3 GB.",
        "",
        f"- wall time {total:.0f} s, "
        f"{1e6 * total / trj.sizes['atom'] / trj.sizes['frame']:.0f} us for each environment",
        f"- peak memory of a worker {workers:.0f} MB, of the client {peak_bytes() / 1e6:.0f} MB",
        f"- written {runs['bytes'].sum() / 1e6:.0f} MB",
        "",
        "| stage | s | share |",
        "|---|---|---|",
        *(f"| {stage} | {s:.1f} | {s / total:.1%} |" for stage, s in spent.items() if s > 0.3),
        f"| the rest | {total - spent[spent > 0.3].sum():.1f} | "
        f"{1 - spent[spent > 0.3].sum() / total:.1%} |",
    ]
    (RESULTS / "structure_dynamics.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
