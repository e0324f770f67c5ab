"""The phase of every atom: from a store with a slab of ice in disorder to figures."""

from __future__ import annotations

import json
from pathlib import Path

import ase
import numpy as np
import pytest

import icedask as ice
from icedask.__main__ import main
from icedask.core.provenance import record_of
from icedask.errors import InputError
from icedask.phases.calibration import melt
from icedask.workflows.phases import _FITTED, _MOST_FITTED, Settings, _fitted

N_FRAMES = 3
CLASSES = ("Ih", "Ic", "II", "III", "VI", "VII", "sI", "liquid", "unknown")


def frame(rng: np.random.Generator) -> ase.Atoms:
    """Return thermal ice Ih below a melt of random packing, an H on every O."""
    crystal = ice.Phases.named("Ih").structures["Ih"] * (2, 2, 2)
    lower = crystal.copy()
    lower.positions += rng.normal(0, 0.12, lower.positions.shape)
    upper = melt(crystal, rng)
    height = crystal.cell[2]
    upper.positions += height
    oxygens = lower + upper
    hydrogens = oxygens.copy()
    hydrogens.symbols[:] = "H"
    hydrogens.positions += [0.6, 0.6, 0.6]
    water = oxygens + hydrogens
    water.set_cell([*crystal.cell[:2], 2 * height])
    water.pbc = True
    return water


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    trj = ice.from_ase([frame(rng) for _ in range(N_FRAMES)])
    path = tmp_path_factory.mktemp("phases") / "slab.zarr"
    ice.save(trj.assign_coords(time=("frame", 2.0 * np.arange(N_FRAMES))), path)
    return path


@pytest.mark.slow
def test_ice_and_disorder_have_different_classes(store: Path) -> None:
    trj = ice.open_trajectory(store)
    result = ice.workflows.phases(trj, store)
    labels = ice.open_run(store, "phases")
    # Hydrogens have no labels.
    assert labels.sizes == {"frame": N_FRAMES, "atom": trj.sizes["atom"] // 2}
    names = np.array(labels["label"].attrs["flag_meanings"].split())
    assert tuple(names) == CLASSES
    label, height = names[labels["label"].values], trj["cell"].values[0, 2, 2]
    z = trj["positions"].values[:, : labels.sizes["atom"], 2]
    depth = np.abs(z % height - height / 4)
    assert (label[depth < 3] == "Ih").all()
    assert np.isin(label[depth > height / 2 - 4], ["liquid", "unknown"]).all()
    share = result.populations["population"].sum("state")
    np.testing.assert_allclose(share, 1.0)
    assert result.interfaces is not None
    assert result.before is not None
    assert ice.open_run(store, "phases-before")["label"].shape == label.shape
    assert ice.open_run(store, "phases-denoised")["positions"].dtype == "float32"

    runs = ice.list_runs(store)
    again = ice.workflows.phases(trj, store, baseline=False)
    assert again.after.threshold == result.after.threshold
    assert ice.list_runs(store)["created"].equals(runs["created"])


@pytest.mark.slow
def test_command_writes_figures_and_report(
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outputs = ["--figures", str(tmp_path / "f"), "--report", str(tmp_path / "report.html")]
    arguments = ["run", "phases", str(store), "--truth", "Ih", *outputs, "--json"]
    monkeypatch.setattr("sys.argv", ["icedask", *arguments])
    main()
    tables = json.loads(capsys.readouterr().out)["tables"]
    (atoms,) = tables["Truth"].values()
    assert [row["positions"] for row in atoms] == ["denoised", "as simulated"]
    assert sum(atoms[0][name] for name in CLASSES) == N_FRAMES * 256
    assert tables["Interfaces"]["Motion"][0]["growth, angstrom/ns"] is not None
    figures = {path.stem for path in (tmp_path / "f").iterdir()}
    assert {"phases-before-and-after", "scores-scores", "truth-confusion"} <= figures
    assert {"scores-map-of-soap-vectors", "interfaces-interfaces"} <= figures
    assert "phases-fractions" in figures
    assert (tmp_path / "report.html").stat().st_size > 1e5


def test_options_are_checked(store: Path, tmp_path: Path) -> None:
    trj = ice.open_trajectory(store)
    with pytest.raises(InputError, match=r"truth: expected one of Ih, .*, unknown, found 'XXX'"):
        ice.workflows.phases(trj, store, truth="XXX")
    with pytest.raises(InputError, match=r"expected what Denoiser\.save wrote"):
        ice.workflows.phases(trj, store, denoiser=str(tmp_path / "none.npz"))
    with pytest.raises(InputError, match="expected atoms of Cu, as the phases have, found H, O"):
        ice.workflows.phases(trj, store, preset="metals")
    with pytest.raises(InputError, match="same volume for each atom"):
        ice.workflows.phases(trj, store, normalize=True)


def test_metals_are_scaled_to_the_trajectory(tmp_path: Path) -> None:
    hot = ice.Phases.metals(2.9, "Al").structures["fcc"] * (6, 6, 6)
    hot.rattle(0.15, seed=1)
    trj = ice.from_ase(hot)
    with pytest.raises(InputError, match="expected atoms of Cu"):
        ice.workflows.phases(trj, tmp_path / "al.zarr", preset="metals")
    result = ice.workflows.phases(
        trj, tmp_path / "al.zarr", preset="metals", element="Al", baseline=False, steps=6
    )
    assert result.before is None
    # The boundaries are those of as many steps.
    assert record_of(result.after.scores).parameters["denoiser"]["steps"] == 6
    assert (result.after.labels["label"] == 0).all()


def test_cache_of_fitted_classifiers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ice.PhaseClassifier, "fit", lambda self, *_, **__: self)
    references = ice.Phases.metals()
    try:
        first = _fitted(Settings(seed=0), references, None)
        for seed in range(1, 3 * _MOST_FITTED):
            assert _fitted(Settings(seed=0), references, None) is first
            _fitted(Settings(seed=seed), references, None)
        assert len(_FITTED) == _MOST_FITTED
    finally:
        # They are not fitted.
        _FITTED.clear()
