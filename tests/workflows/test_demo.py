"""The demo: its table makes physical sense, its figures are there, and it repeats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import icedask as ice
from icedask.plot import latent_map, snapshot, timelines
from icedask.workflows import demo as module


def test_demo(tmp_path: Path, client: Any) -> None:
    result = module.demo(tmp_path / "demo")
    table = result.table
    np.testing.assert_allclose(table["population"].sum(), 1)
    composition = table[["liquid", "hexagonal_ice", "cubic_ice", "interfacial_ice"]]
    ice_like = composition["hexagonal_ice"] + composition["cubic_ice"]
    assert ice_like.max() > 0.6
    assert composition["liquid"].max() > 0.6
    assert table["energy_eV"].idxmin() == ice_like.idxmax()
    assert result.agreement is not None
    assert result.agreement["adjusted_rand"] > 0.6
    for path in result.figures:
        assert path.read_bytes()[:4] == b"\x89PNG"
    states = ice.open_run(result.store, "states")
    assert states["label"].shape == (60, 4096)
    fraction = (states["label"] == int(ice_like.idxmax().split()[1])).mean("atom").values
    assert fraction[:10].mean() < 0.05
    assert fraction[-1] > 0.4
    runs = ice.list_runs(result.store)
    assert "soap" not in set(runs["name"])
    again = module.demo(tmp_path / "demo")
    assert ice.list_runs(result.store)["created"].tolist() == runs["created"].tolist()
    assert again.table.equals(table)


def test_figures_of_one_frame(tmp_path: Path, demo_store: Path) -> None:
    trj = ice.select(ice.open_trajectory(demo_store).isel(frame=slice(-1, None)), "index 0:499")
    chill = ice.chill_plus(trj)
    soap = ice.soap(trj, r_cut=4.0, n_max=2, l_max=2)
    latent = ice.PCA(2).fit_transform(soap)
    for figure in (latent_map(latent, chill), timelines(chill, chill), snapshot(trj, chill)):
        figure.savefig(tmp_path / "one.png")
        assert (tmp_path / "one.png").stat().st_size > 5_000
