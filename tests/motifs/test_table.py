"""The table of motifs against a loop over their members, and the maps' scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from sklearn.decomposition import PCA

import icedask as ice
from icedask.core.provenance import Record, stamped
from icedask.errors import InputError
from icedask.motifs import map_scores as scores
from icedask.motifs.map_scores import MapSettings, map_scores
from icedask.motifs.table import category_table, motif_table

NAMES = ["cubic_ice", "hexagonal_ice", "liquid"]
CATEGORIES = {"ice": NAMES[:2], "liquid": NAMES[2:]}
SHAPE = (9, 40)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with dask.config.set(scheduler="sync"):
        yield


def known(ds: xr.Dataset, name: str) -> xr.Dataset:
    """Return a Dataset with a record."""
    return stamped(ds, Record("external", name, 1, {}))


def inputs(chunks: Any = None) -> dict[str, Any]:
    """Labels of five motifs, one of them without members, and the Datasets that describe them."""
    rng = np.random.default_rng(0)
    label = rng.choice([-1, 0, 1, 2, 4], SHAPE, p=[0.1, 0.3, 0.3, 0.2, 0.1]).astype(np.int32)
    shares = np.array([[0.8, 0.15, 0.05], [0.0, 0.1, 0.9], [0.3, 0.2, 0.5], [1, 0, 0], [0, 1, 0]])
    reference = np.array([[rng.choice(3, p=shares[motif]) for motif in row] for row in label])
    energy = rng.normal(-0.4, 0.1, SHAPE) + label
    energy[rng.random(SHAPE) < 0.1] = np.nan
    dims = ("frame", "atom")
    time = {"time": ("frame", np.linspace(0, 40, SHAPE[0]) ** 1.5)}
    flags = {"flag_values": [0, 1, 2], "flag_meanings": " ".join(NAMES)}
    energies = (dims, energy, {"units": "eV", "long_name": "energy"})
    datasets = {
        "labels": known(xr.Dataset({"label": (dims, label)}, time), "labels"),
        "latent": xr.Dataset({"latent": ((*dims, "component"), rng.normal(size=(*SHAPE, 3)))}),
        "values": {
            "energy": xr.Dataset({"energy": energies}),
            "order": xr.Dataset({"q": (dims, rng.random(SHAPE).astype(np.float32))}),
        },
        "reference": known(
            xr.Dataset({"label": (dims, reference.astype(np.int32), flags)}), "reference"
        ),
    }
    if chunks is None:
        return datasets
    datasets["values"] = {
        name: dataset.chunk(frame=2) for name, dataset in datasets["values"].items()
    }
    lazy = {"frame": chunks[0], "atom": chunks[1]}
    return {
        name: item if isinstance(item, dict) else item.chunk(lazy)
        for name, item in datasets.items()
    }


def tabulated(datasets: dict[str, Any], n_motifs: int = 5, **changes: Any) -> xr.Dataset:
    options = {"n_motifs": n_motifs, "categories": CATEGORIES, "share": 0.6, **changes}
    return motif_table(**datasets, **options)


@pytest.mark.parametrize("chunks", [None, (9, 40), (1, 40), (4, 17)])
def test_equals_a_loop(chunks: Any) -> None:
    table = tabulated(inputs(chunks))
    datasets = inputs()
    label = datasets["labels"]["label"].values
    latent = datasets["latent"]["latent"].values
    time = datasets["labels"]["time"].values
    for motif in range(5):
        row = table.sel(motif=motif)
        members = [tuple(place) for place in np.argwhere(label == motif)]
        assert row["members"] == len(members)
        assert float(row["population"]) == pytest.approx(len(members) / label.size)
        if not members:
            assert (row["medoid_frame"], row["medoid_atom"]) == (-1, -1)
            assert np.isnan(row["energy"]) and np.isnan(row["composition"]).all()
            assert row["category"] == 1
            continue
        assert float(row["mean_time"]) == pytest.approx(np.mean([time[f] for f, _ in members]))
        for name, dataset in datasets["values"].items():
            values = [float(next(iter(dataset.values())).values[place]) for place in members]
            assert float(row[name]) == pytest.approx(np.nanmean(values))
            assert float(row[f"{name}_std"]) == pytest.approx(np.nanstd(values))
        classes = [datasets["reference"]["label"].values[place] for place in members]
        expected = [classes.count(code) / len(classes) for code in range(3)]
        np.testing.assert_allclose(row["composition"], expected)
        ice_share, liquid_share = sum(expected[:2]), expected[2]
        assert row["category"] == (0 if ice_share >= 0.6 else 2 if liquid_share >= 0.6 else 1)
        mean = np.mean([latent[place] for place in members], axis=0)
        nearest = min(members, key=lambda place: ((latent[place] - mean) ** 2).sum())
        assert (int(row["medoid_frame"]), int(row["medoid_atom"])) == nearest
    assert table["category"].attrs["flag_meanings"] == "ice transient liquid"
    assert (
        table["energy"].attrs
        == table["energy_std"].attrs
        == {
            "units": "eV",
            "long_name": "energy",
        }
    )
    assert table["reference_class"].values.tolist() == NAMES
    assert sorted(set(table["category"].values.tolist())) == [0, 1, 2]


def test_without_times_frames_count() -> None:
    datasets = inputs()
    datasets["labels"]["time"][3] = np.nan
    by_number = tabulated(datasets)["mean_time"]
    datasets["labels"] = datasets["labels"].drop_vars("time")
    np.testing.assert_array_equal(tabulated(datasets)["mean_time"], by_number)
    frames = np.nonzero(datasets["labels"]["label"].values == 2)[0]
    assert float(by_number[2]) == pytest.approx(frames.mean())


def test_categories() -> None:
    table = tabulated(inputs())
    summary = category_table(table)
    assert summary["category"].values.tolist() == ["ice", "transient", "liquid"]
    number = table["category"].values
    assert summary["n_motifs"].values.tolist() == np.bincount(number, minlength=3).tolist()
    assert float(summary["population"].sum()) == pytest.approx(float(table["population"].sum()))
    energy = table["energy"].values
    assert summary["energy_min"].values[0] == energy[number == 0].min()
    assert summary["energy_max"].values[0] == energy[number == 0].max()
    assert summary["energy_min"].attrs["units"] == "eV"
    none = category_table(table.isel(motif=number == 0))
    assert np.isnan(none["energy_min"].values[2]) and none["n_motifs"].values[2] == 0


def test_inputs_of_other_rows_are_refused() -> None:
    datasets = inputs()
    with pytest.raises(InputError, match="motif_table: expected the same frames in both"):
        tabulated({**datasets, "latent": datasets["latent"].isel(frame=slice(3))})
    with pytest.raises(InputError, match="motif_table: expected the same atoms in both"):
        tabulated({**datasets, "values": {"q": datasets["values"]["order"].isel(atom=slice(3))}})
    with pytest.raises(InputError, match=r"categories: expected classes of .* found amorphous"):
        tabulated(datasets, categories={"ice": ["cubic_ice"], "liquid": ["amorphous"]})
    datasets["reference"]["label"].attrs = {}
    with pytest.raises(InputError, match="expected a reference with flag_meanings, found none"):
        tabulated(datasets)


def test_scores_of_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    which = rng.integers(0, 3, (10, 30))
    rows = rng.normal(0, 0.3, (10, 30, 8))
    rows[..., :2] += np.array([[0, 0], [9, 0], [0, 9]])[which]
    rows[2, 5] = np.nan
    dims = ("frame", "atom", "feature")
    x = xr.Dataset({"features": (dims, rows)}, {"block": ("feature", ["near"] * 2 + ["rest"] * 6)})
    flags = {"flag_values": [0, 1, 2], "flag_meanings": " ".join(NAMES)}
    classes = xr.Dataset({"label": (dims[:2], which.astype(np.int32), flags)})
    vae = ice.VAE(2)
    vae.center_, vae.scale_ = np.zeros(8), np.full(8, 0.1)
    latent = xr.Dataset({"latent": (("frame", "atom", "component"), rows[..., 2:4])})

    def embed(rows: np.ndarray, n: int, *_: Any) -> np.ndarray:
        return rows[:, :n].astype(np.float32)

    monkeypatch.setattr(scores, "embed", embed)
    settings = MapSettings(15, 0.0, 0.1, "eom", assign_noise=False, seed=0)
    x, latent, reference = known(x, "x"), known(latent, "latent"), known(classes, "classes")
    table = map_scores(x, vae, latent, reference, NAMES[:2], settings, block="near", size=300)
    assert table["space"].values.tolist() == ["autoencoder", "pca", "features", "near"]
    assert table["dimensions"].values.tolist() == [2, 2, 8, 2]
    # The clusters are in the first two features; the latent coordinates are noise.
    assert table["motifs"].values[1:].tolist() == [3, 3, 3]
    assert (table["separation"].values[1:] > 0.8).all()
    assert abs(table["separation"].values[0]) < 0.3
    assert (table["stability_seed"].values == 1).all()
    assert (table["stability_rows"].values[1:] > 0.9).all()
    assert table["trustworthiness"].values[0] < table["trustworthiness"].values[3] <= 1


def test_principal_components() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 6)) * np.arange(1, 7) + 5
    projected = scores._principal(rows, 3)
    expected = PCA(3).fit_transform(rows)
    np.testing.assert_allclose(np.abs(projected), np.abs(expected), atol=1e-9)
