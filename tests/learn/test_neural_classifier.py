"""Neural classifier: accuracy, abstention, calibration, held-out groups, storing, and bad input."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.neural_network import MLPClassifier

import icedask as ice
from icedask.errors import InputError
from icedask.nn.torch_utils import stack

SMALL: dict[str, Any] = {
    "layers": (16,),
    "epochs": 8,
    "batch_size": 64,
    "learning_rate": 0.01,
}
NAMES = ("Ih", "Ic", "water")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with dask.config.set(scheduler="sync"):
        yield


def blobs(
    n_frames: int = 20, n_atoms: int = 40, seed: int = 0, spread: float = 1.0, n_classes: int = 3
) -> tuple[xr.Dataset, xr.Dataset]:
    """Overlapping Gaussian clusters in the first two of six dimensions, and their labels."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, n_classes, (n_frames, n_atoms)).astype(np.int32)
    centers = np.zeros((3, 6))
    centers[:, :2] = [[0, 0], [3, 0], [0, 3]]
    rows = centers[which] + rng.normal(0, spread, (*which.shape, 6))
    return features(rows), labels(which)


def features(rows: np.ndarray) -> xr.Dataset:
    return xr.Dataset({"soap": (("frame", "atom", "soap_component"), rows.astype(np.float32))})


def labels(which: np.ndarray, names: tuple[str, ...] = NAMES) -> xr.Dataset:
    flags = {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}
    return xr.Dataset({"label": (("frame", "atom"), which.astype(np.int32), flags)})


def fitted(x: xr.Dataset, y: xr.Dataset, **changes: Any) -> ice.NeuralClassifier:
    return ice.NeuralClassifier(**{**SMALL, **changes}).fit(x, y)


def accuracy(model: ice.NeuralClassifier, x: xr.Dataset, y: xr.Dataset) -> float:
    return float((model.predict(x)["label"] == y["label"]).mean())


@pytest.fixture(scope="module")
def plain() -> ice.NeuralClassifier:
    with dask.config.set(scheduler="sync"):
        return fitted(*blobs())


@pytest.fixture(scope="module")
def ensemble() -> ice.NeuralClassifier:
    with dask.config.set(scheduler="sync"):
        return fitted(*blobs(), n_networks=3, layers=(16, 8))


def test_accuracy_is_that_of_scikit_learn(plain: ice.NeuralClassifier) -> None:
    (x, y), (new, truth) = blobs(), blobs(seed=5)
    peer = MLPClassifier((16,), activation="tanh", learning_rate_init=0.01, max_iter=60)
    rows = x["soap"].values.reshape(-1, 6)
    peer.set_params(random_state=0, early_stopping=True).fit(rows, y["label"].values.ravel())
    theirs = peer.score(new["soap"].values.reshape(-1, 6), truth["label"].values.ravel())
    ours = plain.predict_proba(new)["class_probability"].values.argmax(axis=2)
    assert theirs > 0.85
    assert np.mean(ours == truth["label"].values) > theirs - 0.03
    assert plain.accuracy_ == pytest.approx(accuracy(plain, new, truth), abs=0.06)
    assert plain.classes_ == (*NAMES, "unknown")
    assert plain.n_parameters_ == 6 * 16 + 16 + 16 * 3 + 3


def test_probabilities_are_those_of_torch(ensemble: ice.NeuralClassifier) -> None:
    x, _ = blobs(seed=3)
    rows = x["soap"].values.reshape(-1, 6)
    inputs = torch.from_numpy(((rows - ensemble.center_) * ensemble.scale_).astype(np.float32))
    parts = []
    for number in range(3):
        network = stack([6, 16, 8, 3], "tanh")
        prefix = f"network_{number}_"
        network.load_state_dict(
            {
                name.removeprefix(prefix).replace("_", "."): torch.from_numpy(weight)
                for name, weight in ensemble.weights_.items()
                if name.startswith(prefix)
            }
        )
        with torch.no_grad():
            parts.append(torch.softmax(network(inputs) / ensemble.temperature_, dim=1).numpy())
    mean = np.mean(parts, axis=0)
    probabilities = ensemble.predict_proba(x)["class_probability"]
    np.testing.assert_allclose(probabilities.values.reshape(-1, 3), mean, atol=1e-6)
    assert probabilities["class"].values.tolist() == list(NAMES)
    result = ensemble.predict(x)
    np.testing.assert_allclose(result["probability"], probabilities.max("class"), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum("class"), 1, atol=1e-6)


def test_first_network_of_an_ensemble_is_the_single_one(plain: ice.NeuralClassifier) -> None:
    many = fitted(*blobs(), n_networks=2)
    for name, weight in plain.weights_.items():
        assert many.weights_[name].tobytes() == weight.tobytes()
    assert many.n_parameters_ == 2 * plain.n_parameters_
    first, second = (many.weights_[f"network_{number}_0_weight"] for number in (0, 1))
    assert not np.allclose(first, second)


def test_same_seed_same_bits(plain: ice.NeuralClassifier) -> None:
    again = fitted(*blobs())
    first, second = plain.to_dataset(), again.to_dataset()
    assert all(first[name].values.tobytes() == second[name].values.tobytes() for name in first)
    assert first.attrs["run_id"] == second.attrs["run_id"]
    other = fitted(*blobs(), seed=1)
    assert other.record_.run_id != plain.record_.run_id


def test_labels_are_part_of_the_record(plain: ice.NeuralClassifier) -> None:
    x, y = blobs()
    assert plain.fitted_record(x, y).run_id == plain.record_.run_id
    assert plain.record_.parameters["classes"] == list(NAMES)
    other = y.copy(deep=True)
    other["label"][0, 0] = (int(y["label"][0, 0]) + 1) % 3
    assert plain.fitted_record(x, other).run_id != plain.record_.run_id


def test_predictions_do_not_depend_on_blocks(
    plain: ice.NeuralClassifier, nothing_computes: None
) -> None:
    x, _ = blobs(seed=2)
    lazy = plain.predict(x.chunk({"frame": 7, "atom": 11, "soap_component": 4}))
    proba = plain.predict_proba(x.chunk({"frame": 3}))
    with dask.config.set(scheduler="sync"):
        whole = plain.predict(x)
        assert (lazy["label"].values == whole["label"].values).all()
        np.testing.assert_allclose(lazy["probability"], whole["probability"], atol=1e-6)
        expected = plain.predict_proba(x)["class_probability"]
        np.testing.assert_allclose(proba["class_probability"], expected, atol=1e-6)


def test_store(ensemble: ice.NeuralClassifier, tmp_path: Path) -> None:
    x, _ = blobs(seed=2)
    ice.save(ensemble, tmp_path / "s.zarr", label="model")
    loaded = ice.load_model(tmp_path / "s.zarr", "model")
    assert loaded.get_params() == {**ensemble.get_params(), "layers": [16, 8]}
    assert (loaded.classes_, loaded.temperature_) == (ensemble.classes_, ensemble.temperature_)
    saved = ice.save(loaded.predict(x), tmp_path / "s.zarr")
    assert saved["label"].equals(ensemble.predict(x)["label"].compute())
    assert saved["label"].attrs["flag_meanings"] == "Ih Ic water unknown"
    proba = ice.save(loaded.predict_proba(x), tmp_path / "s.zarr")
    assert proba["class_probability"].dims == ("frame", "atom", "class")
    assert {name: curve.tolist() for name, curve in loaded.curves_.items()} == {
        name: curve.tolist() for name, curve in ensemble.curves_.items()
    }


def test_shuffled_labels_give_chance() -> None:
    x, y = blobs()
    shuffled = np.random.default_rng(0).permutation(y["label"].values.ravel())
    model = fitted(x, labels(shuffled.reshape(20, 40)), min_probability=0.0, distance_quantile=1.0)
    new, truth = blobs(seed=5)
    assert accuracy(model, new, truth) == pytest.approx(1 / 3, abs=0.15)
    assert model.accuracy_ == pytest.approx(1 / 3, abs=0.12)


def test_structures_of_no_class_are_unknown(plain: ice.NeuralClassifier) -> None:
    x, _ = blobs(seed=4)
    own = plain.predict(x)["label"].values
    flagged = np.mean(own == 3)
    assert flagged < 0.06
    far = x.copy(deep=True)
    far["soap"][..., 4] += 12
    assert (plain.predict(far)["label"].values == 3).all()
    # Not for their largest probabilities.
    assert float(plain.predict(far)["probability"].mean()) > 0.6
    huge = x.copy(deep=True)
    huge["soap"][...] = 1e37
    assert (plain.predict(huge)["label"].values == 3).all()
    free = fitted(*blobs(), min_probability=0.0, distance_quantile=1.0)
    assert (free.predict(far)["label"].values < 3).all()
    assert np.isinf(free.distance_limits_).all()


def test_limits_are_quantiles_of_held_out_rows() -> None:
    x, y = blobs()
    model = fitted(x, y, distance_quantile=0.9, min_probability=0.0)
    held = x.isel(frame=model.held_out_), y.isel(frame=model.held_out_)
    rows = (held[0]["soap"].values.reshape(-1, 6) - model.center_) * model.scale_
    places = (rows - model.distance_center_) @ model.distance_axes_.T
    which = held[1]["label"].values.ravel()
    for number in range(3):
        shift = places[which == number] - model.class_means_[number]
        root = model.class_roots_[number]
        precision = root @ root.T
        squared = np.einsum("ni,ij,nj->n", shift, precision, shift)
        expected = np.quantile(squared, 0.9)
        assert model.distance_limits_[number] == pytest.approx(expected, rel=1e-3)
    predicted = model.predict(held[0])["label"].values.ravel()
    table = np.zeros((3, 4), int)
    np.add.at(table, (which, predicted), 1)
    np.testing.assert_array_equal(model.confusion_, table)
    np.testing.assert_allclose(model.recall_, np.diag(table) / table.sum(axis=1))
    assert model.held_out_unit_ == "frame"
    assert 3 <= len(model.held_out_) <= 5


def test_temperature_lowers_the_loss() -> None:
    x, y = blobs(n_frames=10, spread=1.6)
    model = fitted(x, y, epochs=60, patience=60, layers=(64, 64))
    held = x.isel(frame=model.held_out_), y.isel(frame=model.held_out_)
    truth = held[1]["label"].values.ravel()

    def loss(temperature: float) -> float:
        rows = held[0]["soap"].values.reshape(-1, 6)
        probabilities = model.ensemble()._replace(temperature=temperature).probabilities(rows)
        return float(-np.log(probabilities[np.arange(len(truth)), truth]).mean())

    assert loss(model.temperature_) <= loss(1.0)
    assert loss(model.temperature_) <= min(
        loss(0.8 * model.temperature_), loss(1.2 * model.temperature_)
    )
    assert model.calibration_error_ is not None


def test_rows_with_nan_have_no_label(plain: ice.NeuralClassifier) -> None:
    x, y = blobs()
    x["soap"][3, 5, 2] = np.nan
    x["soap"][4] = np.nan
    result = plain.predict(x).compute()
    missing = np.isnan(x["soap"].values).any(axis=2)
    assert ((result["label"].values == -1) == missing).all()
    assert (result["probability"].values[missing] == 0).all()
    probabilities = plain.predict_proba(x)["class_probability"].values
    assert (np.isnan(probabilities).all(axis=2) == missing).all()
    y["label"][4:6] = -1
    assert fitted(x, y, epochs=1).n_samples_ == 800 - 81


def test_balanced_classes_find_rare_rows() -> None:
    rng = np.random.default_rng(0)
    which = (rng.random((20, 100)) < 0.04).astype(np.int32)
    rows = rng.normal(size=(20, 100, 3)) + 1.5 * which[..., None]
    x, y = features(rows), labels(which, ("common", "rare"))
    free: dict[str, Any] = {"min_probability": 0.0, "distance_quantile": 1.0}
    recall = {
        weights: float(
            (
                fitted(x, y, class_weights=weights, **free).predict(x)["label"].values[which == 1]
                == 1
            ).mean()
        )
        for weights in (None, "balanced")
    }
    assert recall["balanced"] > recall[None] + 0.2
    assert recall["balanced"] > 0.7


def collection(phases: list[str], starts: list[int], sizes: list[int]) -> ice.Collection:
    """Members of one frame, each of a phase: Gaussian clusters in four dimensions."""
    rng = np.random.default_rng(0)
    shifts = {phase: 4.0 * number for number, phase in enumerate(sorted(set(phases)))}
    members, table = {}, {}
    for number, (phase, start, size) in enumerate(zip(phases, starts, sizes, strict=True)):
        members[f"m{number}"] = features(rng.normal(shifts[phase], 1, (1, size, 4)))
        table[f"m{number}"] = {"phase": phase, "start": f"s{start}"}
    return ice.Collection(members, table)


def test_whole_groups_are_held_out() -> None:
    # The first two members share a start, as do the two of the third phase.
    starts = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9]
    phases = ["Ih"] * 5 + ["V"] * 5 + ["water"] * 2
    x = collection(phases, starts, [30] * 12)
    model = fitted(x, "phase")
    assert model.classes_ == ("Ih", "V", "water", "unknown")
    assert model.held_out_unit_ == "group"
    numbers = {x.groups[name]: phase for name, phase in zip(x, phases, strict=True)}
    # Each class that has several groups holds out one.
    assert sorted(numbers[number] for number in model.held_out_.tolist()) == ["Ih", "V"]
    assert model.confusion_[2].sum() == 0
    assert np.isnan(model.recall_[2])
    assert np.isfinite(model.distance_limits_).all()
    assert model.n_samples_ == 360
    labels_ = model.predict(x)
    assert float((labels_["m11"]["label"] == 2).mean()) > 0.8
    assert model.fitted_record(x, "phase").run_id == model.record_.run_id


def test_members_count_by_their_weights() -> None:
    # Two members of rows that overlap, of which the second is small.
    rng = np.random.default_rng(0)
    members = {
        "large": features(rng.normal(0, 1, (1, 800, 3))),
        "small": features(rng.normal(0.8, 1, (1, 40, 3))),
    }
    x = ice.Collection(members, {"large": {"phase": "a"}, "small": {"phase": "b"}})
    recall = [
        float(
            (
                fitted(each, "phase", epochs=15).predict(x, abstain=False)["small"]["label"] == 1
            ).mean()
        )
        for each in (x, x.balanced())
    ]
    assert recall[1] > recall[0] + 0.3


def test_nothing_can_be_held_out_of_single_groups(caplog: pytest.LogCaptureFixture) -> None:
    x = collection(["a", "b"], [0, 1], [30, 30])
    with caplog.at_level(logging.WARNING, "icedask"):
        model = fitted(x, "phase")
    assert "no rows of a, b are held out: they are in a single group" in caplog.text
    assert (model.held_out_unit_, len(model.held_out_)) == ("nothing", 0)
    assert (model.accuracy_, model.calibration_error_, model.temperature_) == (None, None, 1.0)
    assert np.isfinite(model.distance_limits_).all()
    loaded = ice.NeuralClassifier.from_dataset(model.to_dataset())
    assert loaded.accuracy_ is None


def test_one_frame_and_classes_without_rows(caplog: pytest.LogCaptureFixture) -> None:
    x, y = blobs(n_frames=1, n_atoms=300, n_classes=2)
    y = labels(2 * y["label"].values)
    with caplog.at_level(logging.WARNING, "icedask"):
        model = fitted(x, y)
    assert "no rows of Ic" in caplog.text
    assert model.classes_ == ("Ih", "water", "unknown")
    assert model.held_out_unit_ == "atom"
    assert model.accuracy_ is not None and model.accuracy_ > 0.7


def test_constant_features_are_left_out() -> None:
    x, y = blobs()
    x["soap"][..., 3] = 1000.0
    model = fitted(x, y, epochs=1)
    assert model.scale_[3] == 0
    assert (model.scale_[:3] > 0).all()


def test_rows_of_several_blocks_and_epochs_of_some_rows() -> None:
    x, y = blobs(n_frames=40)
    chunked = x.chunk({"frame": 5, "atom": 20})
    model = fitted(chunked, y, epoch_rows=400, epochs=14)
    assert accuracy(model, *blobs(seed=5)) > 0.8
    again = fitted(chunked, y, epoch_rows=400, epochs=14)
    assert (
        model.weights_["network_0_0_weight"].tobytes()
        == again.weights_["network_0_0_weight"].tobytes()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x, labels(np.zeros((20, 40)), ("Ih",))), "at least two classes, found Ih"),
        (lambda x, y: (x * np.nan, y), "at least two classes, found none among 0 rows"),
        (lambda x, y: (x, y.isel(frame=slice(5))), "expected the same frames in both"),
        (lambda x, y: (x, y.drop_attrs()), "expected labels with the names of their classes"),
        (lambda x, y: (x * 0 + 1, y), "expected features that vary"),
        (lambda x, y: (x.astype(float) * 1e200, y), "whose squares add up to a number"),
        (
            lambda x, y: (x, labels(y["label"].values, ("a", "b", "unknown"))),
            "other names than unk",
        ),
        (lambda x, y: (x, "phase"), "name of a label is for the members of a collection"),
    ],
)
def test_bad_input(change: Any, message: str) -> None:
    x, y = change(*blobs())
    with pytest.raises(InputError, match=message):
        fitted(x, y)


def test_other_features_are_refused(plain: ice.NeuralClassifier) -> None:
    x, _ = blobs()
    with pytest.raises(InputError, match="expected 6 features as in the fit, found 4"):
        plain.predict(x.isel(soap_component=slice(4)))
    with pytest.raises(ice.NotFittedError):
        ice.NeuralClassifier().predict(x)
    with pytest.raises(InputError, match="class_weights: expected one of balanced"):
        ice.NeuralClassifier(class_weights="even")
    assert da.Array is type(plain.predict(x)["label"].data)
