"""What the reports of all workflows share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from icedask.plot.report import Section, package_versions, provenance


def drawn(draw: bool, **figures: Callable[[], Figure]) -> dict[str, Figure]:
    """Return figures by their captions, which are the names of the arguments as words.

    Parameters
    ----------
    draw
        Whether they are wanted; if not, nothing is drawn or returned.
    **figures
        Functions that draw.
    """
    return {name.replace("_", " ").capitalize(): make() for name, make in figures.items() if draw}


def settings_section(settings: Any, store: Path, results: Iterable[xr.Dataset]) -> Section:
    """Return the options of a workflow, and how its results were computed.

    Parameters
    ----------
    settings
        A dataclass, as it was used.
    store
        With all results.
    results
        As they were saved.

    Raises
    ------
    StoreError
        If a result is not in the store.
    """
    runs = [ds.attrs["run_id"] for ds in results]
    return Section(
        "Settings and provenance",
        parameters={**asdict(settings), "store": str(store)},
        tables={
            "What was computed, each after what it was computed from": provenance(store, runs),
            "Packages": package_versions(store, runs),
        },
    )
