"""Workflows of collections: members that fail, one set of motifs, tables by member and label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from ase.build import bulk

import icedask as ice
from icedask.errors import ComputeError, InputError
from icedask.workflows.each_member import for_each_member
from icedask.workflows.motifs import motifs
from icedask.workflows.workflow import registry

OPTIONS: dict[str, Any] = {
    "epochs": 4,
    "sample_size": 1500,
    "min_cluster_size": 0.03,
    "baselines": False,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of a workflow."""

    factor: int = 2


def counted(trj: xr.Dataset, store: Path, factor: int) -> int:
    """Return the number of atoms; three kinds of trajectories are refused."""
    match trj.sizes["atom"]:
        case 2:
            raise InputError("two atoms")
        case 3:
            raise ZeroDivisionError("three atoms")
        case 5:
            raise ComputeError("workers died")
    return factor * trj.sizes["atom"]


def copper(tmp_path: Path, *sizes: int) -> ice.Collection:
    """Return a collection of trajectories of these numbers of atoms."""
    members = {f"m{n}": ice.from_ase(bulk("Cu") * (n, 1, 1)) for n in sizes}
    return ice.save(ice.Collection(members), tmp_path)


def test_each_member(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    each = for_each_member(counted, copper(tmp_path, 1, 2, 3, 4), tmp_path, Settings(factor=3))
    assert each.results == {"m1": 3, "m4": 12}
    assert each.failed == {"m2": "two atoms", "m3": "ZeroDivisionError: three atoms"}
    assert "m2: left out: two atoms" in caplog.text
    with pytest.raises(InputError, match="two atoms"):
        for_each_member(counted, copper(tmp_path / "a", 2, 3), tmp_path, Settings())
    with pytest.raises(ComputeError, match="workers died"):
        for_each_member(counted, copper(tmp_path / "b", 1, 5), tmp_path, Settings())


def test_options_of_collections_alone(tmp_path: Path) -> None:
    trj = copper(tmp_path, 4)["m4"]
    for options in ({"by": "phase"}, {"balanced": True}):
        with pytest.raises(InputError, match="expected a collection, found a trajectory"):
            motifs(trj, tmp_path / "m4.zarr", centers="element Cu", **options)
    for name in ("motifs", "phases", "structure-dynamics"):
        assert registry()[name].takes == "either"


@pytest.fixture(scope="module")
def water(demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three parts of freezing water, one more that is damaged, one of copper."""
    folder = tmp_path_factory.mktemp("water")
    trj = ice.open_trajectory(demo_store)
    frames = {"warm-1": [0], "warm-2": [1, 2], "cold": [14, 15], "bad": [3]}
    members = {name: trj.isel(frame=chosen) for name, chosen in frames.items()}
    labels = {name: {"phase": name.split("-")[0]} for name in frames}
    ice.save(ice.Collection(members, labels), folder)
    ice.save(ice.from_ase(bulk("Cu", cubic=True)), folder / "copper.zarr")
    for path in (folder / "bad.zarr" / "trajectory" / "positions" / "c").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1] + b"?")
    return folder


@pytest.mark.slow
def test_motifs_of_a_folder(water: Path, tmp_path: Path) -> None:
    members = ice.open_collection(water)
    medoids = tmp_path / "medoids"
    result = ice.workflows.motifs(members, by="phase", export=str(medoids), **OPTIONS)
    assert list(result.labels) == ["cold", "warm-1", "warm-2"]
    assert sorted(result.failed) == ["bad", "copper"]
    again = ice.open_collection(water).subset(list(result.labels))
    labels = ice.open_runs(again, "motifs")
    counts = result.members["count"]
    for name, each in labels.items():
        label = each["label"].values
        expected = [(label == motif).sum() for motif in range(result.motifs.n_motifs_)]
        assert counts.sel(member=name).values.tolist() == expected
    assert len(list(medoids.glob("motif_*.xyz"))) == result.motifs.n_motifs_
    for motif, number in enumerate(result.members["medoid_member"].values):
        name = list(result.labels)[number]
        place = [int(result.members[f"medoid_{dim}"][motif]) for dim in ("frame", "atom")]
        assert labels[name]["label"].values[*place] == motif
    # Ice is in the cold part.
    chill = result.members["reference_count"].sel(reference_class=["cubic_ice", "hexagonal_ice"])
    shares = chill.sum("reference_class") / result.members["rows"]
    assert float(shares.sel(member="cold")) > 2 * float(shares.sel(member="warm-1"))
    resumed = ice.workflows.motifs(members, by="phase", export=str(medoids), **OPTIONS)
    assert resumed.members.attrs["run_id"] == result.members.attrs["run_id"]
    sections = registry()["motifs"].present(result, members, figures=tmp_path / "figures")
    tables = {title: table for part in sections for title, table in part.tables.items()}
    by_phase = tables["By phase: shares of the environments of its members in each motif"]
    assert by_phase.index.tolist() == ["cold", "warm"]
    np.testing.assert_allclose(by_phase.drop(columns="rows").sum(axis=1), 1)
    assert tables["Left out"].index.tolist() == ["copper", "bad"]
    assert list((tmp_path / "figures").glob("*.png"))


@pytest.mark.slow
def test_phases_of_a_folder(water: Path) -> None:
    members = ice.open_collection(water).subset(["cold", "copper", "warm-1"])
    result = ice.workflows.phases(members, baseline=False, steps=2)
    assert list(result.results) == ["cold", "warm-1"]
    assert "copper" in result.failed
    (section, _) = registry()["phases"].present(result, members)
    table = section.tables["Members: shares of the atoms in each class, means over the frames"]
    assert table.index.tolist() == ["cold", "warm-1"]
    np.testing.assert_allclose(
        table[list(result.results["cold"].after.classifier.classes_)].sum(axis=1), 1
    )
    stored = ice.open_run(water / "cold.zarr", "phases")
    assert stored.attrs["run_id"] == result.results["cold"].after.labels.attrs["run_id"]
