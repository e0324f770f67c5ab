"""Cost of save, open_run and list_runs with 10 to 10,000 tiny runs in the store, all labelled.

    python tests/benchmarks/bench_many_runs.py [FOLDER]

CPU seconds, the best of three, and bytes of the metadata files that are opened: read or written.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from ase.build import bulk

import icedask as ice
from icedask.core.provenance import Record, stamped
from icedask.store.arrays import group_attrs, update_attrs
from icedask.store.labels import write_label

_SIZES = (10, 100, 1_000, 10_000)
_files: list[Path] | None = None


def _note(event: str, args: tuple[Any, ...]) -> None:
    name = str(args[0]) if event in ("open", "os.scandir", "os.listdir") else ""
    if _files is not None and ("zarr.json" in name or ".labels" in name):
        _files.append(Path(name))


def _measure(function: Callable[[], Any]) -> tuple[float, int, int]:
    """Return CPU seconds, and number and bytes of the metadata files that were opened."""
    global _files
    _files = files = []
    start = time.process_time()
    function()
    seconds, _files = time.process_time() - start, None
    # A file that was renamed since is counted at its new place.
    sizes = [path.stat().st_size for path in files if path.is_file()]
    return seconds, len(files), sum(sizes)


def _result(store: Path, number: int) -> xr.Dataset:
    positions = group_attrs(store / "trajectory")["positions"]
    record = Record("results", "tiny", 1, {"number": number}, positions=positions)
    return stamped(xr.Dataset({"value": ("item", np.arange(3) + number)}), record)


def _fill(store: Path, first: int, stop: int) -> None:
    run_id = ice.save(_result(store, 0), store).attrs["run_id"]
    folder = store / "results" / "tiny"
    for number in range(first, stop):
        name = f"tiny-{number:08x}"
        shutil.copytree(folder / run_id, folder / name)
        update_attrs(folder / name, {"run_id": name})
        write_label(store, f"results/tiny/{name}", f"label {number}")


def main() -> None:
    sys.addaudithook(_note)
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        store, made, number = Path(name).resolve() / "run.zarr", 1, -1
        ice.save(ice.from_ase(bulk("Cu", cubic=True)), store)
        print("runs    call            CPU/ms  files     bytes")
        for size in _SIZES:
            _fill(store, made, size)
            made = size
            calls: dict[str, list[tuple[float, int, int]]] = {}
            for _ in range(3):
                number -= 1
                lazy, labelled = _result(store, number), _result(store, number - 1000)
                run_id = lazy.attrs["run_id"]
                for call, function in {
                    "save": lambda lazy=lazy: ice.save(lazy, store),
                    "save, label": lambda lazy=labelled: ice.save(lazy, store, label="new"),
                    "save, complete": lambda lazy=lazy: ice.save(lazy, store),
                    "open_run, id": lambda run=run_id: ice.open_run(store, run),
                    "open_run, label": lambda: ice.open_run(store, "new"),
                    "list_runs": lambda: ice.list_runs(store),
                }.items():
                    calls.setdefault(call, []).append(_measure(function))
            for call, values in calls.items():
                seconds, files, read = min(values)
                print(f"{size:6d}  {call:15s} {1000 * seconds:6.1f} {files:6d} {read:9d}")


if __name__ == "__main__":
    main()
