"""SOAP & LENS on planted dynamics, which structure alone misses."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import ase
import hdbscan
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from sklearn.metrics import adjusted_rand_score

import icedask as ice
from icedask.__main__ import main
from icedask.errors import InputError
from icedask.learn.hdbscan import HDBSCAN
from icedask.store import chunks

N_FRAMES = 30
SETTINGS: dict[str, Any] = {"r_cut": 4.0, "n_max": 4, "l_max": 4, "variance": 0.95}


def crystal_with_jumpers(n_jumpers: int = 12) -> tuple[list[ase.Atoms], np.ndarray]:
    """Return frames of a thermal crystal, some atoms of which change places with each other.

    They are far from each other on ordinary sites, which are the same in each frame.
    """
    rng = np.random.default_rng(3)
    crystal = bulk("Cu", cubic=True) * (5, 5, 5)
    far = [0]
    for atom in rng.permutation(len(crystal)):
        if crystal.get_distances(atom, far, mic=True).min() > 5.5 and len(far) < n_jumpers:
            far.append(int(atom))
    jumpers = np.array(far)
    sites = jumpers.copy()
    frames = []
    for _ in range(N_FRAMES):
        atoms = crystal.copy()
        # In a random cycle: every atom moves.
        order = rng.permutation(len(jumpers))
        sites[order] = sites[np.roll(order, 1)]
        atoms.positions[jumpers] = crystal.positions[sites]
        atoms.positions += rng.normal(0, 0.08, atoms.positions.shape)
        frames.append(atoms)
    return frames, jumpers


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A store with the trajectory, and the atoms that jump."""
    frames, jumpers = crystal_with_jumpers()
    store = tmp_path_factory.mktemp("planted") / "jumpers.zarr"
    ice.save(timed(ice.from_ase(frames)), store)
    return store, jumpers


def timed(trj: xr.Dataset) -> xr.Dataset:
    return trj.assign_coords(time=("frame", np.arange(trj.sizes["frame"]) * 2.0))


def best_state(labels: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return recall and precision of the state that finds the truth best."""
    scores = []
    for state in np.unique(labels[labels >= 0]):
        hit = (labels == state) & truth
        recall, precision = hit.sum() / truth.sum(), hit.sum() / (labels == state).sum()
        scores.append((recall * precision, recall, precision))
    return max(scores)[1:]


@pytest.mark.parametrize(
    "clustering",
    [
        pytest.param(
            {"clustering": "hdbscan", "min_cluster_size": 60, "min_samples": 10},
            marks=pytest.mark.slow,
        ),
        {"clustering": "gmm", "n_states": 3},
    ],
)
def test_jumpers_have_a_state_of_their_own(
    planted: tuple[Path, np.ndarray], clustering: dict[str, Any]
) -> None:
    store, jumpers = planted
    trj = ice.open_trajectory(store)
    result = ice.workflows.structure_dynamics(trj, store, **SETTINGS, **clustering, lens_states=2)
    labels = result.joint.states["label"].values
    known = labels >= 0
    truth = np.isin(trj["atom"].values, jumpers)[None] & known
    recall, precision = best_state(labels, truth)
    assert recall > 0.97
    assert precision > 0.97
    # One in 42 atoms jumps: a state of SOAP alone can hold them all, or few others.
    recall, precision = best_state(result.soap.states["label"].values, truth)
    assert min(recall, precision) < 0.1


def test_saved_runs_are_found_again(
    planted: tuple[Path, np.ndarray], nothing_computes_twice: list[str]
) -> None:
    store, _ = planted
    trj = ice.open_trajectory(store)
    options = {**SETTINGS, "clustering": "gmm", "n_states": 3, "lens_states": 2}
    first = ice.workflows.structure_dynamics(trj, store, **options)
    runs = ice.list_runs(store)
    assert (runs["status"] == "complete").all()
    for label in ("structure-dynamics", "structure-dynamics-soap", "structure-dynamics-lens"):
        assert label in set(runs["label"])
    assert not (runs["name"] == "soap").any()
    nothing_computes_twice.clear()
    again = ice.workflows.structure_dynamics(trj, store, **options)
    assert len(ice.list_runs(store)) == len(runs)
    assert "PCA fit" not in nothing_computes_twice
    xr.testing.assert_identical(
        first.joint.states["label"].load(), again.joint.states["label"].load()
    )


@pytest.fixture
def nothing_computes_twice(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Descriptions of the computations."""
    from icedask.tasks import run as compute

    seen: list[str] = []
    original = compute.stage

    def noted(description: str, total: int) -> Any:
        seen.append(description)
        return original(description, total)

    monkeypatch.setattr(compute, "stage", noted)
    return seen


def test_counts_of_transitions_and_labels(planted: tuple[Path, np.ndarray]) -> None:
    store, _ = planted
    trj = ice.open_trajectory(store)
    result = ice.workflows.structure_dynamics(
        trj, store, **SETTINGS, clustering="gmm", n_states=3, lens_states=2
    )
    for analysis in (result.soap, result.lens, result.joint):
        flux = analysis.transitions["flux"].values
        pairs = trj.sizes["atom"] * (N_FRAMES - 1)
        assert flux.sum() + analysis.transitions.attrs["n_excluded"] == pairs
        rows = analysis.transitions["probability"].values.sum(axis=1)
        np.testing.assert_allclose(rows[np.isfinite(rows)], 1.0)
        assert analysis.table["population"].sum() == pytest.approx(1)
    counted = np.bincount(result.joint.states["label"].values[:-1].ravel(), minlength=3)
    np.testing.assert_allclose(result.joint.table["population"], counted / counted.sum())


@pytest.mark.slow
def test_does_not_depend_on_blocks(
    planted: tuple[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = planted
    options = {
        **SETTINGS,
        "n_states": 3,
        "min_cluster_size": 60,
        "min_samples": 10,
        "sample_size": 5000,
        "window": 5,
    }
    trj = ice.open_trajectory(store)
    labels: dict[str, list[np.ndarray]] = {"gmm": [], "hdbscan": []}
    for number, blocks in enumerate((10**6, 3 * 500)):
        monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", blocks)
        for clustering, results in labels.items():
            result = ice.workflows.structure_dynamics(
                trj, tmp_path / f"{number}.zarr", clustering=clustering, **options
            )
            results.append(result.joint.states["label"].values)
    for coarse, fine in labels.values():
        assert np.mean(coarse != fine) < 1e-4


@pytest.mark.slow
def test_hdbscan_equals_one_process_on_the_sample(planted: tuple[Path, np.ndarray]) -> None:
    store, _ = planted
    trj = ice.open_trajectory(store)
    result = ice.workflows.structure_dynamics(
        trj, store, **SETTINGS, min_cluster_size=60, min_samples=10, sample_size=8000, lens_states=2
    )
    latent = result.joint.values
    model = HDBSCAN(60, min_samples=10, sample_size=8000, holdout=0.0, assign_noise=True).fit(
        latent
    )
    rows = latent["latent"].values[model.sample_frame_, model.sample_atom_]
    alone = hdbscan.HDBSCAN(min_cluster_size=60, min_samples=10, core_dist_n_jobs=1).fit(rows)
    assert adjusted_rand_score(alone.labels_, model.labels_) == 1.0
    kept = model.labels_ >= 0
    predicted = result.joint.clusters["label"].values[model.sample_frame_, model.sample_atom_]
    assert adjusted_rand_score(alone.labels_[kept], predicted[kept]) > 0.999


def test_permuted_identities_change_lens_only() -> None:
    rng = np.random.default_rng(0)
    crystal = bulk("Cu", cubic=True) * (4, 4, 4)
    frames = []
    for _ in range(5):
        atoms = crystal.copy()
        atoms.positions = crystal.positions[rng.permutation(len(crystal))]
        frames.append(atoms)
    trj = ice.from_ase(frames)
    soap = ice.unit_norm(ice.soap(trj, r_cut=4.0, n_max=4, l_max=4))["features"].values
    np.testing.assert_allclose(soap, np.broadcast_to(soap[0, 0], soap.shape), atol=2e-6)
    assert (ice.lens(trj, r_cut=4.0)["lens"].values[:-1] > 0.5).all()
    still = ice.from_ase([crystal] * 5)
    assert (ice.lens(still, r_cut=4.0)["lens"].values[:-1] == 0).all()


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_on_workers(planted: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    store, _ = planted
    trj = ice.open_trajectory(store)
    options = {**SETTINGS, "clustering": "gmm", "n_states": 3, "lens_states": 2}
    there = ice.workflows.structure_dynamics(trj, tmp_path / "there.zarr", **options)
    here = ice.workflows.structure_dynamics(trj, store, **options)
    same = there.joint.states["label"].values == here.joint.states["label"].values
    assert same.mean() > 0.9999


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected r_cut, or a preset"),
        ({"preset": "gold"}, "expected one of cu211, au309, ice-water"),
        ({"r_cut": 4.0}, "expected min_cluster_size for hdbscan"),
        ({"r_cut": 4.0, "clustering": "gmm"}, "expected n_states for gmm"),
        ({"preset": "cu211"}, "window 20 needs at least 20 frames"),
        ({"preset": "cu211", "variance": 1.0}, "variance: expected less than 1"),
        ({"preset": "cu211", "cutoff": 3.0}, "cutoff: expected at most 2"),
        ({"preset": "ice-water", "window": 3}, "element O"),
        ({"preset": "cu211", "r_cutt": 4.0}, "no option 'r_cutt'"),
        ({"r_cut": 4.0, "min_cluster_size": 1500}, "found no cluster"),
    ],
)
def test_bad_settings(
    planted: tuple[Path, np.ndarray], tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    trj = ice.open_trajectory(planted[0]).isel(frame=slice(0, 8))
    small = {"n_max": 2, "l_max": 2} if "preset" not in options else {}
    with pytest.raises(InputError, match=message):
        ice.workflows.structure_dynamics(trj, tmp_path / "s.zarr", **small, **options)


def test_options_are_refused_before_anything_is_computed(
    planted: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    trj = ice.open_trajectory(planted[0])
    for options in ({"species": ["H"]}, {"seed": 2**32}):
        with pytest.raises(InputError, match=next(iter(options))):
            ice.workflows.structure_dynamics(trj, tmp_path / "s.zarr", preset="cu211", **options)
    assert not (tmp_path / "s.zarr").exists()


def test_docstring_lists_defaults_and_presets() -> None:
    text = ice.workflows.structure_dynamics.__doc__
    assert "Number of radial basis functions of SOAP. Default 8." in text
    assert "ice-water: r_cut 6.0, centers element O" in text


@pytest.mark.slow
def test_command(
    planted: tuple[Path, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, _ = planted
    figures, report = tmp_path / "figures", tmp_path / "new" / "report.html"
    options = {**SETTINGS, "clustering": "gmm", "n_states": 3, "lens_states": 2}
    flags = [[f"--{key.replace('_', '-')}", str(value)] for key, value in options.items()]
    arguments = [*itertools.chain(*flags), "--figures", str(figures), "--report", str(report)]
    monkeypatch.setattr(
        "sys.argv", ["icedask", "run", "structure-dynamics", str(store), *arguments, "--json"]
    )
    main()
    printed = json.loads(capsys.readouterr().out)
    assert printed["label"] == "structure-dynamics"
    assert len(printed["tables"]["SOAP & LENS"]["States"]) == 3
    assert len(list(figures.glob("*.png"))) >= 15
    text = report.read_text()
    assert text.count("data:image/") >= 15
    assert "structure-dynamics" in text
