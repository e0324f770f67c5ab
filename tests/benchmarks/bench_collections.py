"""A collection of 60 small stores beside one trajectory of the same environments, on two workers.

    python tests/benchmarks/bench_collections.py [FOLDER [ROUNDS]]

SOAP of the oxygens: wall time of both and their ratio, in turns, the best of each; one member
damaged; the process killed and the call repeated; PCA over the members beside that of the one
trajectory. The members are the frames of the trajectory, so that results are compared bit by bit.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from frames import ice as ice_crystal
from frames import water

import icedask as ice

MEMBERS, FRAMES, SITES = 60, 20, 216
OPTIONS: dict[str, Any] = {"r_cut": 6.0, "n_max": 8, "l_max": 6, "centers": "element O"}
RUN = "soap"


def make(folder: Path) -> None:
    """Write the stores of the members, and one with all their frames."""
    images = [water(ice_crystal(SITES, seed)) for seed in range(MEMBERS * FRAMES)]
    trj = ice.from_ase(images)
    parts = {
        f"m{number}": trj.isel(frame=slice(number * FRAMES, (number + 1) * FRAMES))
        for number in range(MEMBERS)
    }
    ice.save(ice.Collection(parts), folder / "members")
    ice.save(trj, folder / "one.zarr")


def of_members(folder: Path) -> ice.Collection:
    """Describe the members, and save."""
    members = ice.open_collection(folder / "members")
    return ice.save(ice.soap(members, **OPTIONS), label=RUN)  # type: ignore[arg-type]


def of_one(folder: Path) -> Any:
    """Describe the one trajectory, and save."""
    trj = ice.open_trajectory(folder / "one.zarr")
    return ice.save(ice.soap(trj, **OPTIONS), folder / "one.zarr", label=RUN)


def clear(folder: Path) -> None:
    """Drop the results."""
    for store in [folder / "one.zarr", *(folder / "members").glob("m*.zarr")]:
        if (store / "descriptors").exists():
            ice.remove_run(store, RUN)


def timed(function: Any, folder: Path) -> float:
    """Return the wall time of a call, seconds."""
    start = time.perf_counter()
    function(folder)
    return time.perf_counter() - start


def is_same(folder: Path, names: list[str]) -> bool:
    """Return whether the results of members equal the one trajectory's, bit by bit."""
    whole = ice.open_run(folder / "one.zarr", RUN)["soap"]
    return all(
        np.array_equal(
            ice.open_run(folder / "members" / f"{name}.zarr", RUN)["soap"].values,
            whole[int(name[1:]) * FRAMES : (int(name[1:]) + 1) * FRAMES].values,
        )
        for name in names
    )


def flip(store: Path) -> None:
    """Change a byte in the middle of the positions, or change it back."""
    (file,) = (p for p in (store / "trajectory/positions/c").rglob("*") if p.is_file())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


def killed(folder: Path) -> int:
    """Run the call in a process that is killed on the way; return how many members it ended."""
    with subprocess.Popen(
        [sys.executable, __file__, str(folder), "--call"], start_new_session=True
    ) as process:
        while process.poll() is None and _written(folder) < MEMBERS // 3:
            time.sleep(0.05)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return _written(folder)


def _written(folder: Path) -> int:
    stores = (folder / "members").glob("m*.zarr/descriptors/soap/*/soap/c")
    return sum(1 for store in stores if any(path.is_file() for path in store.rglob("*")))


def compare(folder: Path, rounds: int) -> None:
    """Print the figures."""
    names = [f"m{number}" for number in range(MEMBERS)]
    with ice.connect("local", n_workers=2):
        of_one(folder)
        clear(folder)
        times: dict[str, list[float]] = {"one": [], "members": []}
        for turn in range(rounds):
            times["one"].append(timed(of_one, folder))
            times["members"].append(timed(of_members, folder))
            print(f"one {times['one'][-1]:.2f} s, members {times['members'][-1]:.2f} s", flush=True)
            same = is_same(folder, names)
            if turn < rounds - 1:
                clear(folder)
        print(f"{MEMBERS} members x {FRAMES} frames x {SITES} waters; {os.cpu_count()} cores")
        print(
            f"wall time, best of {rounds}: one {min(times['one']):.2f} s, members "
            f"{min(times['members']):.2f} s, ratio {min(times['members']) / min(times['one']):.2f}"
        )
        print(f"members equal to the one trajectory, bit by bit: {same}")
        soap = ice.open_collection(folder / "members", run=RUN)
        ours = ice.PCA(16).fit(soap)  # type: ignore[arg-type]
        whole = ice.PCA(16).fit(ice.open_run(folder / "one.zarr", RUN))
        scale = float(whole.explained_variance_[0])
        values = np.abs(ours.explained_variance_ - whole.explained_variance_).max() / scale
        vectors = np.abs(np.abs(ours.components_) - np.abs(whole.components_)).max()
        print(f"PCA, largest differences: variances {values:.1e} of the first, axes {vectors:.1e}")
        for store in (folder / "members").glob("m*.zarr"):
            ice.remove_run(store, RUN)
        flip(folder / "members" / "m7.zarr")
        damaged = of_members(folder)
        left = [name for name in names if name != "m7"]
        print(
            f"one damaged: reported {list(damaged.failed)}, others right: "
            f"{list(damaged) == left and is_same(folder, left)}"
        )
        flip(folder / "members" / "m7.zarr")
        print(
            f"mended, same call: {timed(of_members, folder):.2f} s, all right: "
            f"{is_same(folder, names)}"
        )
        for store in (folder / "members").glob("m*.zarr"):
            ice.remove_run(store, RUN)
    ended = killed(folder)
    with ice.connect("local", n_workers=2):
        seconds = timed(of_members, folder)
    print(
        f"killed with blocks of {ended} members on disk; the same call again: {seconds:.2f} s, "
        f"all right: {is_same(folder, names)}"
    )


def main() -> None:
    if "--call" in sys.argv:
        with ice.connect("local", n_workers=2):
            of_members(Path(sys.argv[1]))
        return
    folder = Path(tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None)).resolve()
    try:
        make(folder)
        compare(folder, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
