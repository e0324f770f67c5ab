"""Structural motifs: from a store with freezing water to tables, figures and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk

import icedask as ice
from icedask.cli import main
from icedask.errors import InputError
from icedask.motifs.table import category_table, motif_table
from icedask.workflows.motifs_report import motifs_section, time_section

OPTIONS: dict[str, Any] = {
    "epochs": 6,
    "sample_size": 3000,
    "min_cluster_size": 0.03,
    "baselines": False,
}


@pytest.fixture(scope="module")
def store(demo_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("motifs") / "freezing.zarr"
    trj = ice.open_trajectory(demo_store).isel(frame=[0, 4, 8, 10, 12, 15])
    ice.save(trj, path)
    return path


@pytest.fixture(scope="module")
def result(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("export")
    return ice.workflows.motifs(
        ice.open_trajectory(store), store, export=str(folder / "medoids"), **OPTIONS
    )


@pytest.mark.slow
def test_ice_and_liquid_are_different_motifs(result: Any) -> None:
    table = result.table
    assert result.motifs.n_motifs_ >= 2
    category = table["category"].values
    assert category[0] == 0
    assert category[-1] == 2
    # Numbered from the most tetrahedral on, as the sample has it.
    assert table["tetrahedral"].values[0] < 0.2 < table["tetrahedral"].values[-1]
    assert table["potential_energy"].values[0] < table["potential_energy"].values[-1]
    assert 0.8 < float(table["population"].sum()) <= 1
    liquid = result.populations["population"].values[:, category == 2].sum(axis=1)
    assert liquid[0] > liquid[-1]


@pytest.mark.slow
def test_the_table_is_that_of_the_labels(result: Any) -> None:
    label = result.labels["label"].values
    order = result.values["tetrahedral"]["tetrahedral"].values
    for motif in result.table["motif"].values:
        mine = label == motif
        row = result.table.sel(motif=motif)
        assert int(row["members"]) == mine.sum()
        np.testing.assert_allclose(row["tetrahedral"], order[mine].mean(), rtol=1e-4)
        assert label[int(row["medoid_frame"]), int(row["medoid_atom"])] == motif
    ranges = result.categories.sel(category="ice")
    ices = result.table["tetrahedral"].values[result.table["category"].values == 0]
    assert float(ranges["tetrahedral_min"]) == ices.min()
    assert float(ranges["tetrahedral_max"]) == ices.max()


@pytest.mark.slow
def test_medoids_are_exported(result: Any, store: Path) -> None:
    folder = Path(result.settings.export)
    files = sorted(folder.glob("motif_*.xyz"))
    assert len(files) == result.motifs.n_motifs_
    first = ase.io.read(files[0])
    assert first.info["category"] == "ice"
    distances = first.get_distances(0, list(range(1, len(first))))
    assert (np.diff(distances) >= 0).all()
    assert distances[-1] < result.settings.r_cut
    # Four neighbours in a tetrahedron.
    assert 2.4 < distances[0] <= distances[3] < 3.2 < distances[4]


@pytest.mark.slow
def test_the_same_options_are_not_computed_again(result: Any, store: Path) -> None:
    before = set(ice.list_runs(store).index)
    again = ice.workflows.motifs(ice.open_trajectory(store), store, **OPTIONS)
    assert set(ice.list_runs(store).index) == before
    xr.testing.assert_equal(again.labels.load(), result.labels.load())
    for label in ("motifs", "motifs-map", "motifs-table", "motifs-categories"):
        assert ice.open_run(store, label).sizes
    assert not list((store / ".checkpoints").glob("*"))
    loaded = ice.load_model(store, result.motifs.record_.run_id)
    assert (loaded.predict(result.latent)["label"].values == result.labels["label"].values).all()


@pytest.mark.slow
def test_command_writes_figures_and_a_report(
    result: Any,
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = ["--epochs", "6", "--sample-size", "3000", "--min-cluster-size", "0.03"]
    outputs = ["--figures", str(tmp_path / "figures"), "--report", str(tmp_path / "motifs.html")]
    command = ["run", "motifs", str(store), *options, "--no-baselines", *outputs, "--json"]
    monkeypatch.setattr("sys.argv", ["icedask", *command])
    main()
    output = json.loads(capsys.readouterr().out)
    assert output["label"] == "motifs"
    rows = output["tables"]["Motifs"]["Motifs, means over their members"]
    assert len(rows) == result.motifs.n_motifs_
    names = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert len(names) >= 7
    assert "Settings and provenance" in (tmp_path / "motifs.html").read_text()


def test_bad_options_are_refused(store: Path) -> None:
    trj = ice.open_trajectory(store)
    with pytest.raises(InputError, match="matches no atom"):
        ice.workflows.motifs(trj, store, centers="element Cu")
    for options, message in (
        ({"epochs": 0}, "epochs: expected at least 1"),
        ({"variance": 1.5}, "variance: expected less than 1"),
        ({"min_probability": 1}, "min_probability: expected less than 1"),
        ({"min_cluster_size": 50}, "min_cluster_size: expected less than 1"),
        ({"share": 1.5}, "share: expected at most 1"),
    ):
        with pytest.raises(InputError, match=message):
            ice.workflows.motifs(trj, store, **options)
    # Before anything is computed: the map comes last.
    with pytest.raises(InputError, match="neighbors: expected at least 502 rows in the map"):
        ice.workflows.motifs(trj, store, neighbors=500, sample_size=400)
    with pytest.raises(InputError, match="min_cluster_size: expected 2 rows or more of the 100"):
        ice.workflows.motifs(trj, store, sample_size=100)


@pytest.mark.slow
def test_report_without_any_labelled_row(result: Any, store: Path) -> None:
    labels = result.labels.copy()
    labels["label"] = xr.full_like(labels["label"], -1)
    table = motif_table(
        labels,
        result.latent,
        result.values,
        result.chill,
        n_motifs=result.motifs.n_motifs_,
        categories={"ice": ("cubic_ice",), "liquid": ("liquid",)},
        share=0.5,
    )
    nothing = result._replace(
        labels=labels,
        table=table,
        categories=category_table(table),
        populations=ice.populations(labels),
        transitions=ice.transitions(labels),
    )
    motifs, through_time = motifs_section(nothing, True), time_section(nothing, True)
    assert "100.0% are in no motif" in motifs.text
    assert [caption.partition(":")[0] for caption in motifs.figures] == ["Map of motifs"]
    assert [caption.partition(":")[0] for caption in through_time.figures] == ["Stages"]


def test_a_crystal_at_rest_has_no_motifs(tmp_path: Path) -> None:
    crystal = bulk("O", "diamond", a=6.36, cubic=True) * (3, 3, 3)
    trj = ice.from_ase(crystal)
    ice.save(trj, tmp_path / "rest.zarr")
    with pytest.raises(InputError, match="expected environments that differ"):
        ice.workflows.motifs(trj, tmp_path / "rest.zarr", n_max=2, l_max=2, min_cluster_size=0.1)
