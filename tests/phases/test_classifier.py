"""Labels of noised crystals, melts and other ices; their invariance; storing them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

import icedask as ice
from icedask.errors import InputError, StoreError
from icedask.phases import calibration
from icedask.phases.calibration import large_cell, melt

ICES = ("Ih", "Ic", "II", "III", "VI", "VII", "sI")
LIQUID, UNKNOWN = 7, 8


def noised(atoms: ase.Atoms, sigma: float, seed: int = 0) -> ase.Atoms:
    noisy = atoms.copy()
    noisy.rattle(sigma, seed=seed)
    return noisy


def crystal(name: str, height: float = 9.0) -> ase.Atoms:
    return large_cell(ice.Phases.named(name).structures[name], height)


def labelled(
    classifier: ice.PhaseClassifier, shipped: ice.Denoiser, atoms: Any, **options: Any
) -> xr.Dataset:
    return classifier.predict(shipped.denoise(ice.from_ase(atoms), **options)).compute()


def counts(labels: xr.Dataset) -> np.ndarray:
    return np.bincount(labels["label"].values.ravel(), minlength=len(ICES) + 2)


@pytest.fixture(scope="module")
def compared(classifier: ice.PhaseClassifier, shipped: ice.Denoiser) -> xr.Dataset:
    """Four frames: two of ice, one of a melt, one of another ice's oxygens."""
    frames = [noised(crystal("Ic"), 0.1, seed) for seed in range(2)]
    frames.append(melt(frames[0], np.random.default_rng(11)))
    frames.append(melt(frames[0], np.random.default_rng(12)))
    return classifier.compare(shipped.denoise(ice.from_ase(frames)))


@pytest.mark.parametrize("name", ICES)
@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.3])
def test_noised_crystals(
    classifier: ice.PhaseClassifier, shipped: ice.Denoiser, name: str, sigma: float
) -> None:
    # Other noise than that of the calibration, and stronger.
    labels = labelled(classifier, shipped, noised(crystal(name), sigma, seed=100))
    assert (labels["label"] == ICES.index(name)).all()
    assert labels["confidence"].min() > 0.9


@pytest.mark.parametrize("name", ICES)
def test_invariance(classifier: ice.PhaseClassifier, shipped: ice.Denoiser, name: str) -> None:
    atoms = noised(crystal(name), 0.12, seed=7)
    order = np.random.default_rng(0).permutation(len(atoms))
    cells = np.random.default_rng(1).integers(-2, 3, (len(atoms), 3))
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    frames = [atoms.copy() for _ in range(6)]
    frames[1].set_cell(atoms.cell.array @ turn.T, scale_atoms=True)
    frames[2] = atoms[order]
    frames[3].positions += cells @ atoms.cell.array + [0.3, 11.0, -4.0]
    # Ice VII is the densest, and bears least.
    strain = 0.03
    frames[4].set_cell(atoms.cell.array * (1 + strain), scale_atoms=True)
    frames[5].set_cell(atoms.cell.array * (1 - strain), scale_atoms=True)
    labels = labelled(classifier, shipped, frames)
    assert (labels["label"] == ICES.index(name)).all()
    score = classifier.compare(shipped.denoise(ice.from_ase(frames)))["score"].values
    for frame, same in ((1, score[0]), (2, score[0][order]), (3, score[0])):
        # Positions are float32, and the denoiser passes differences on.
        np.testing.assert_allclose(score[frame], same, rtol=0.05, atol=0.01)
    many = labelled(classifier, shipped, atoms * (1, 1, 2))
    assert (many["label"] == ICES.index(name)).all()


@pytest.mark.parametrize("name", ["Ic", "III", "VII"])
def test_melts_are_liquid(
    classifier: ice.PhaseClassifier, shipped: ice.Denoiser, name: str
) -> None:
    # Not one of those of the calibration.
    atoms = melt(crystal(name, 14.0), np.random.default_rng(99))
    assert counts(labelled(classifier, shipped, atoms))[LIQUID] >= 0.95 * len(atoms)


def test_an_ice_that_is_not_a_reference(
    classifier: ice.PhaseClassifier, shipped: ice.Denoiser
) -> None:
    numbers = counts(labelled(classifier, shipped, noised(crystal("V"), 0.1)))
    assert numbers[: len(ICES)].sum() <= 0.05 * numbers.sum()
    assert numbers[UNKNOWN] >= 0.9 * numbers.sum()


def stacked(sequence: str) -> ase.Atoms:
    """Return bilayers of ice in such an order: AB is hexagonal, ABC is cubic."""
    bond = 2.76
    a, height = bond * np.sqrt(8 / 3), bond * 4 / 3
    cell = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, height * len(sequence)]])
    places = {"A": (0, 0), "B": (1 / 3, 2 / 3), "C": (2 / 3, 1 / 3)}
    positions = []
    for number, letter in enumerate(sequence):
        below = np.array([*places[letter], number / len(sequence)]) @ cell
        positions += [below, below + bond * np.eye(3)[2]]
    return ase.Atoms(f"O{len(positions)}", positions, cell=cell, pbc=True) * (3, 3, 1)


def test_stacking_faults(classifier: ice.PhaseClassifier, shipped: ice.Denoiser) -> None:
    for sequence, phase in (("ABABABAB", "Ih"), ("ABCABC", "Ic")):
        pure = labelled(classifier, shipped, noised(stacked(sequence), 0.1))
        assert (pure["label"] == ICES.index(phase)).all()
    numbers = counts(labelled(classifier, shipped, noised(stacked("ABCABCABCABAB"), 0.1)))
    assert numbers[ICES.index("Ih")] > 0
    assert numbers[ICES.index("Ic")] > 0
    assert numbers[:2].sum() + numbers[UNKNOWN] == numbers.sum()


def test_vacancies(classifier: ice.PhaseClassifier, shipped: ice.Denoiser) -> None:
    atoms = noised(crystal("Ih", 18.0), 0.1)
    del atoms[[7, 100, 101]]
    labels = labelled(classifier, shipped, atoms)
    assert (labels["label"] == ICES.index("Ih")).mean() > 0.7
    assert np.isfinite(labels["confidence"]).all()


def test_classes(classifier: ice.PhaseClassifier, compared: xr.Dataset) -> None:
    assert classifier.classes_ == (*ICES, "liquid", "unknown")
    labels = classifier.label(compared)
    for array, names in ((labels["label"], classifier.classes_), (compared["nearest"], ICES)):
        assert array.attrs["flag_values"] == list(range(len(names)))
        assert array.attrs["flag_meanings"].split() == list(names)
        assert array.dtype == np.int32
    assert labels["confidence"].dtype == np.float32
    assert list(labels.coords) == ["time", "step", "atom", "element"]
    again = classifier.label(compared.compute())
    xr.testing.assert_identical(again["label"].compute(), labels["label"].compute())
    assert classifier.threshold_ > 0
    assert classifier.residual_threshold_ is not None


def test_lazy(
    mw: xr.Dataset,
    classifier: ice.PhaseClassifier,
    shipped: ice.Denoiser,
    nothing_computes: None,
) -> None:
    labels = classifier.predict(shipped.denoise(mw))
    assert labels["label"].shape == (16, 4096)
    assert labels.attrs["run_id"] == classifier.predict(shipped.denoise(mw)).attrs["run_id"]
    assert labels.attrs["run_id"].startswith("phases-")


def with_values(compared: xr.Dataset, **values: np.ndarray) -> xr.Dataset:
    shape = compared["score"].shape
    return compared.assign(
        {
            name: compared[name].copy(data=np.resize(array, shape).astype(np.float32))
            for name, array in values.items()
        }
    )


def test_boundaries(classifier: ice.PhaseClassifier, compared: xr.Dataset) -> None:
    edge, limit = classifier.threshold_, classifier.residual_threshold_
    assert limit is not None
    # To the very ends of the scales.
    scores = np.array([0.0, 1e-6, 0.5, 0.999, 1.001, 2.0, 1e6, 1e30])
    residuals = np.array([0.0, 1e-6, 0.5, 0.999, 1.001, 2.0, 1e3, 1e6])
    score, residual = (grid.ravel() for grid in np.meshgrid(scores, residuals))
    scored = with_values(compared, score=score * edge, residual=residual * limit)
    labels = classifier.label(scored).isel(frame=0)
    own = compared["nearest"][0].values
    expected = np.where(score < 1, own, np.where(residual > 1, LIQUID, UNKNOWN))
    np.testing.assert_array_equal(labels["label"], expected)
    confidence = labels["confidence"].values
    assert confidence.min() >= 0
    assert confidence.max() <= 1
    assert (confidence[score == 0] == 1).all()
    beyond = (residual < 0.9) | (residual > 1.1)
    # One half at each boundary, where nothing else is in doubt; sure far from them.
    np.testing.assert_allclose(confidence[beyond & (abs(score - 1) < 0.01)], 0.5, atol=0.02)
    np.testing.assert_allclose(confidence[~beyond & (score > 1e3)], 0.5, atol=0.02)
    assert (confidence[(score > 1.9) & ((residual < 0.6) | (residual > 1.9))] > 0.99).all()


def test_other_threshold(classifier: ice.PhaseClassifier, compared: xr.Dataset) -> None:
    none = classifier.label(compared, threshold=1e-9)
    assert (none["label"] >= LIQUID).all()
    every = classifier.label(compared, threshold=1e9)
    assert (every["label"] == compared["nearest"]).all()
    ids = {labels.attrs["run_id"] for labels in (none, every, classifier.label(compared))}
    assert len(ids) == 3
    for bad in (np.nan, np.inf, -1.0, 0, True, "1", [1.0]):
        with pytest.raises(InputError, match=r"threshold: expected a( finite)? number"):
            classifier.label(compared, threshold=bad)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def three() -> ice.Phases:
    return ice.Phases.named("Ih", "Ic", "VII")


def quickly(
    phases: ice.Phases, denoiser: ice.Denoiser | None = None, **options: Any
) -> ice.PhaseClassifier:
    """Fit with a smaller calibration."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "_NOISE", ((0.1, 0.0), (0.2, 0.0)))
        return ice.PhaseClassifier(**options).fit(phases, denoiser)


@pytest.fixture(scope="module", params=["euclidean", "cosine"])
def raw(request: pytest.FixtureRequest, three: ice.Phases) -> ice.PhaseClassifier:
    return quickly(three, metric=request.param, n_components=10)


def test_as_published(raw: ice.PhaseClassifier, three: ice.Phases) -> None:
    def features(atoms: ase.Atoms) -> np.ndarray:
        trj = ice.from_ase(atoms)
        return ice.soap(trj, l_max=6)["soap"].values[0].astype(float)

    rows = [features(atoms) for atoms in three.structures.values()]
    phase = np.repeat([0, 1, 2], [len(part) for part in rows])
    scaler = StandardScaler().fit(np.concatenate(rows))
    # Components that hardly differ would be all noise.
    scaler.scale_ = np.maximum(scaler.scale_, 1e-3 * scaler.scale_.max())
    pca = PCA(10, svd_solver="full").fit(scaler.transform(np.concatenate(rows)))
    strong = pca.singular_values_ > 1e-6 * pca.singular_values_[0]

    def points(rows: np.ndarray) -> np.ndarray:
        return pca.transform(scaler.transform(rows))[:, strong]

    for name in ("Ih", "Ic", "VII", "III"):
        atoms = noised(crystal(name), 0.1)
        comparison = raw.compare(ice.from_ase(atoms))
        distances = cdist(points(features(atoms)), points(np.concatenate(rows)), raw.metric)
        np.testing.assert_allclose(
            comparison["score"][0], distances.min(axis=1), rtol=1e-3, atol=1e-5
        )
        assert (comparison["nearest"][0] == phase[distances.argmin(axis=1)]).all()
        assert "residual" not in comparison
        labels = raw.label(comparison)["label"].values[0]
        # Without denoising there is no residual.
        expected = np.where(distances.min(axis=1) < raw.threshold_, comparison["nearest"][0], 3)
        assert (labels == expected).mean() > 0.99


def test_molecules(raw: ice.PhaseClassifier) -> None:
    oxygens = noised(crystal("VII"), 0.05)
    molecules = oxygens + ase.Atoms(f"H{len(oxygens)}", oxygens.positions + 0.6)
    labels = raw.predict(ice.from_ase(molecules))
    assert labels["atom"].values.tolist() == list(range(len(oxygens)))
    np.testing.assert_array_equal(labels["label"], raw.predict(ice.from_ase(oxygens))["label"])
    with pytest.raises(InputError, match=r"PhaseClassifier: expected atoms of O, .* found Cu"):
        raw.predict(ice.from_ase(bulk("Cu")))


@pytest.mark.parametrize("metric", ["mahalanobis", "euclidean", "cosine"])
def test_phases_of_one_atom(metric: str) -> None:
    copper = ice.Phases.from_structures({"fcc": bulk("Cu", cubic=True)})
    if metric != "mahalanobis":
        with pytest.raises(InputError, match="references with different surroundings"):
            quickly(copper, metric=metric)
        return
    classifier = quickly(copper, metric=metric)
    atoms = bulk("Cu", cubic=True) * (3, 3, 3)
    assert (classifier.predict(ice.from_ase(noised(atoms, 0.03)))["label"] == 0).all()
    liquid = melt(atoms, np.random.default_rng(5))
    assert (classifier.predict(ice.from_ase(liquid))["label"] == 1).mean() > 0.6


def test_positions_denoised_otherwise_are_refused(
    classifier: ice.PhaseClassifier, raw: ice.PhaseClassifier, shipped: ice.Denoiser
) -> None:
    trj = ice.from_ase([noised(crystal("Ic"), 0.1)] * 2)
    cold = shipped.denoise(trj)
    with pytest.raises(InputError, match="found them denoised by none; fit and classify"):
        classifier.predict(trj)
    with pytest.raises(InputError, match="expected positions denoised by none, as in the fit"):
        raw.predict(cold)
    other = pickle.loads(pickle.dumps(shipped))
    other.weights_["embedding"] = other.weights_["embedding"] * np.float32(1.01)
    with pytest.raises(
        InputError, match=r"denoised by .*; fit and classify with the same Denoiser"
    ):
        classifier.predict(other.denoise(trj))
    for options, message in (
        ({"steps": 4}, r"in 8 steps of at most 0\.4 angstrom, as in the fit, found .* in 4 steps"),
        ({"clip": 0.5}, r"found them denoised by .* in 8 steps of at most 0\.5 angstrom; fit and"),
    ):
        with pytest.raises(InputError, match=message):
            classifier.predict(shipped.denoise(trj, **options))
    for changed in (
        cold.isel(frame=[0]),
        cold.isel(atom=slice(5, None)),
        cold.assign(positions=cold["positions"] + 0.1),
        cold.assign(residual=cold["residual"] * 2),
        cold.compute(),
    ):
        with pytest.raises(
            InputError, match="found it changed since, or computed; choose frames and atoms"
        ):
            classifier.predict(changed)
    with pytest.raises(InputError, match="expected a trajectory Dataset, found int"):
        classifier.predict(3)  # type: ignore[arg-type]
    # In other blocks they are the same.
    same = cold.assign(positions=cold["positions"].chunk({"frame": 1}))
    assert (classifier.predict(same)["label"] == ICES.index("Ic")).all()


def test_scores_of_others_are_refused(
    classifier: ice.PhaseClassifier,
    compared: xr.Dataset,
    shipped: ice.Denoiser,
) -> None:
    with pytest.raises(InputError, match="expected what compare returned, found int"):
        classifier.label(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected what compare returned, found no score"):
        classifier.label(ice.from_ase(crystal("Ic")))
    with pytest.raises(InputError, match="expected what compare returned, found no residual"):
        classifier.label(compared.drop_vars("residual"))
    with pytest.raises(StoreError, match="says how it was computed"):
        classifier.label(compared.drop_attrs())
    other = quickly(ice.Phases.named("Ic"), shipped)
    with pytest.raises(InputError, match=r"compare of this classifier returned, found phases '"):
        other.label(compared)
    other = quickly(ice.Phases.named("Ih", "Ic"), metric="euclidean")
    with pytest.raises(InputError, match="compare of this classifier returned, found metric"):
        other.label(compared)


def test_some_frames_are_another_run(classifier: ice.PhaseClassifier, compared: xr.Dataset) -> None:
    whole = classifier.label(compared)
    part = classifier.label(compared.isel(frame=[1]))
    np.testing.assert_array_equal(part["label"], whole["label"][[1]])
    assert part.attrs["run_id"] != whole.attrs["run_id"]
    assert part.attrs["positions"] == whole.attrs["positions"]


def test_stored_and_reopened(
    classifier: ice.PhaseClassifier, shipped: ice.Denoiser, tmp_path: Path
) -> None:
    store = tmp_path / "s.zarr"
    trj = ice.from_ase([noised(crystal("II"), 0.1, seed) for seed in range(2)])
    cold = ice.save(shipped.denoise(trj), store)
    compared = ice.save(classifier.compare(ice.open_run(store, cold.attrs["run_id"])), store)
    labels = ice.save(classifier.label(compared), store)
    plain = classifier.predict(shipped.denoise(trj))
    assert labels.attrs["run_id"] == plain.attrs["run_id"]
    again = ice.open_run(store, plain.attrs["run_id"])
    for name in ("label", "confidence"):
        np.testing.assert_allclose(again[name], plain[name], rtol=1e-3)
    assert again["label"].attrs == plain["label"].attrs
    assert set(ice.list_runs(store)["name"]) == {"denoise", "phase_scores", "phases"}
    sent = pickle.loads(pickle.dumps(classifier))
    assert sent.predict(cold).attrs["run_id"] == plain.attrs["run_id"]


def test_used_as_labels(classifier: ice.PhaseClassifier, shipped: ice.Denoiser) -> None:
    solid = noised(crystal("Ic", 18.0), 0.1)
    height = solid.cell.array[2, 2]
    frames = []
    for seed in range(2):
        liquid = melt(solid, np.random.default_rng(seed))
        liquid.wrap()
        both = noised(solid, 0.05, seed)
        both.wrap()
        liquid.positions[:, 2] += height
        both += liquid
        both.set_cell(solid.cell.array * [[1], [1], [2]])
        frames.append(both)
    trj = ice.from_ase(frames)
    labels = classifier.predict(shipped.denoise(trj))
    place = ice.interfaces(trj, labels, classes=["Ih", "Ic"])["interface_position"].values
    # Environments that reach into the melt, 6 angstrom, are no more those of the crystal.
    np.testing.assert_allclose(place[:, 1], height, atol=6.0)
    np.testing.assert_allclose((place[:, 0] + height) % (2 * height), height, atol=6.0)
    shares = ice.populations(labels)
    assert shares["state"].attrs["flag_meanings"].split() == list(classifier.classes_)
    np.testing.assert_allclose(shares["population"].sum("state"), 1)
    frozen = shares["population"].isel(state=[0, 1]).sum("state")
    assert ((frozen > 0.15) & (frozen < 0.5)).all()


def test_the_same_seed_gives_the_same() -> None:
    cubic = ice.Phases.named("Ic")
    first, again, other = (quickly(cubic, seed=seed) for seed in (0, 0, 1))
    assert clone(first).get_params() == first.get_params()
    assert again.threshold_ == first.threshold_
    assert other.threshold_ != first.threshold_
    assert other.threshold_ == pytest.approx(first.threshold_, rel=0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "manhattan"}, "metric: expected one of mahalanobis, euclidean, cosine"),
        ({"metric": ["cosine"]}, "metric: expected a string"),
        ({"n_components": 0}, "n_components: expected at least 1, found 0"),
        ({"n_components": 3.5}, "n_components: expected a whole number"),
        ({"seed": -1}, "seed: expected at least 0"),
        ({"seed": True}, "seed: expected a number, found True"),
        ({"r_cut": np.nan}, "r_cut: expected a finite number"),
        ({"r_cut": -6.0}, "r_cut: expected a number angstrom above 0"),
        ({"n_max": 0}, "n_max: expected at least 1"),
        ({"l_max": 13}, "l_max: expected at most 12"),
        ({"sigma": 0.0}, "sigma: expected a number angstrom above 0"),
    ],
)
def test_bad_parameters(three: ice.Phases, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ice.PhaseClassifier(**options).fit(three)


def test_bad_fits(three: ice.Phases, shipped: ice.Denoiser, compared: xr.Dataset) -> None:
    fresh = ice.PhaseClassifier()
    with pytest.raises(InputError, match="expected Phases, found dict"):
        fresh.fit(dict(three.structures))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected a Denoiser, found str"):
        fresh.fit(three, "ices")  # type: ignore[arg-type]
    with pytest.raises(NotFittedError, match="this Denoiser is not fitted"):
        fresh.fit(three, ice.Denoiser())
    with pytest.raises(InputError, match=r"expected a denoiser of Cu, .* found one of O"):
        fresh.fit(ice.Phases.metals(), shipped)
    for use in (fresh.predict, fresh.compare, fresh.label):
        with pytest.raises(NotFittedError, match="this PhaseClassifier is not fitted"):
            use(compared)
