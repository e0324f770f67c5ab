"""Denoise and classify: one core against the network in its framework; 100,000 x 10 on two workers.

python tests/benchmarks/bench_phases.py

CPU time of kernels; the peer takes turns with us in the same process: torch with the same
weights, DScribe for SOAP and scikit-learn for the nearest reference. Writes results/phases.md.
"""

from __future__ import annotations

import os

# One core for everybody; before the libraries start their threads.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import icedask as ice
from icedask.hpc.measure import peak_bytes
from icedask.kernels.neighbors import neighbor_list
from icedask.phases.network import Edges, ScoreNetwork
from icedask.phases.score import denoise_frame

RESULTS = Path(__file__).parent / "results"
STEPS, CLIP = 8, 0.4
PERIODIC = np.ones(3, bool)


def hot(repeats: int, seed: int = 0):
    """Return ice Ih, displaced at random."""
    crystal = ice.Phases.named("Ih").structures["Ih"] * (repeats, repeats, repeats)
    crystal.rattle(0.15, seed=seed)
    return crystal


def seconds(function: Callable[[], object], times: int = 3) -> float:
    """Return the least CPU time of a call."""
    function()
    spent = []
    for _ in range(times):
        begun = time.process_time()
        function()
        spent.append(time.process_time() - begun)
    return min(spent)


def with_torch(network: ScoreNetwork, atoms) -> np.ndarray:
    """Denoise as we do, with the network in its framework."""
    positions = atoms.positions.copy()
    for _ in range(STEPS):
        pairs = neighbor_list(positions, atoms.cell.array, PERIODIC, network.cutoff)
        edges = Edges(
            torch.from_numpy(pairs.rows),
            torch.from_numpy(pairs.indices),
            torch.from_numpy(pairs.vectors.astype(np.float32)),
            len(atoms),
        )
        with torch.no_grad():
            move = -network(edges).numpy()
        length = np.linalg.norm(move, axis=1)
        positions += move * np.minimum(1.0, CLIP / np.maximum(length, CLIP))[:, None]
    return positions


def one_core(repeats: int) -> list[str]:
    """Return rows of the table: microseconds for each atom, and the ratio."""
    torch.set_num_threads(1)
    denoiser = ice.Denoiser.shipped()
    atoms, n_atoms = hot(repeats), 16 * repeats**3
    network = ScoreNetwork(denoiser.width, denoiser.layers, denoiser.cutoff)
    weights = {name: torch.from_numpy(weight) for name, weight in denoiser.weights_.items()}
    network.load_state_dict(weights, strict=False)
    score = denoiser.score()

    def ours() -> np.ndarray:
        cell = atoms.cell.array
        return (
            atoms.positions
            + denoise_frame(score, atoms.positions, cell, PERIODIC, STEPS, CLIP).shift
        )

    apart = float(np.abs(ours() - with_torch(network, atoms)).max())
    us, peer = seconds(ours), seconds(lambda: with_torch(network, atoms))
    classifier = ice.PhaseClassifier().fit(denoiser.phases_, denoiser)
    trj = ice.from_ase(atoms)
    whole = seconds(
        lambda: classifier.predict(denoiser.denoise(trj)).compute(scheduler="synchronous")
    )
    return [
        f"| denoise, {n_atoms:,} atoms | {1e6 * us / n_atoms:.0f} | {1e6 * peer / n_atoms:.0f} "
        f"(torch) | {peer / us:.1f} |",
        f"| denoise and classify, {n_atoms:,} atoms | {1e6 * whole / n_atoms:.0f} | | |",
        f"| | {n_atoms / whole:,.0f} molecules a second; farthest from torch {apart:.0e} angstrom "
        "| | |",
    ]


def two_workers(repeats: int, n_frames: int) -> list[str]:
    """Return lines on a large trajectory: wall time, peak memory."""
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "run.zarr"
        frames = (hot(repeats, seed) for seed in range(n_frames))
        trj = ice.save(ice.from_ase(list(frames)), store)
        with ice.connect("local", n_workers=2, memory_limit="3GB") as client:
            client.wait_for_workers(2)
            begun = time.perf_counter()
            analysis = ice.workflows.phases(trj, store, baseline=False)
            total = time.perf_counter() - begun
            workers = max(client.run(peak_bytes).values()) / 1e6
        share = float(analysis.populations["population"].isel(state=0).mean())
        written = ice.list_runs(store)["bytes"].sum() / 1e6
    return [
        f"{trj.sizes['atom']:,} molecules, {n_frames} frames, two workers of 3 GB: {total:.0f} s, "
        f"{1e6 * total / trj.sizes['atom'] / n_frames:.0f} us for each; peak memory of a worker "
        f"{workers:.0f} MB, of the client {peak_bytes() / 1e6:.0f} MB; written {written:.0f} MB; "
        f"{share:.2%} Ih.",
    ]


def main() -> None:
    """Write the report."""
    lines = [
        "# Denoise and classify",
        "",
        "CPU time on one core, 8 steps, ice Ih displaced by 0.15 angstrom.",
        "",
        "| | us for each atom | peer | ratio |",
        "|---|---|---|---|",
        *one_core(6),
        *one_core(12),
        "",
        *two_workers(19, 10),
    ]
    (RESULTS / "phases.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
