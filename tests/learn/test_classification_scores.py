"""Scores of predicted classes, against scikit-learn's and loops over rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import accuracy_score, confusion_matrix, precision_score, recall_score

import icedask as ice
from icedask.errors import InputError

NAMES = ("Ih", "Ic", "water")


def labelled(which: Any, names: tuple[str, ...] = NAMES) -> xr.Dataset:
    flags = {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}
    values = np.asarray(which, np.int32)
    return xr.Dataset({"label": (("frame", "atom"), values, flags)})


def random_labels(seed: int = 0) -> tuple[xr.Dataset, xr.Dataset]:
    rng = np.random.default_rng(seed)
    true = rng.integers(-1, 3, (20, 50))
    guess = np.where(
        rng.random(true.shape) < 0.7, np.maximum(true, 0), rng.integers(0, 3, true.shape)
    )
    guess[rng.random(true.shape) < 0.1] = 3
    guess[rng.random(true.shape) < 0.05] = -1
    labels = labelled(guess, (*NAMES, "unknown"))
    labels["probability"] = (("frame", "atom"), rng.random(true.shape).astype(np.float32))
    return labels, labelled(true)


def test_scores_are_those_of_scikit_learn() -> None:
    labels, truth = random_labels()
    scores = ice.classification_scores(labels.chunk({"frame": 7, "atom": 20}), truth)
    guess, true = labels["label"].values.ravel(), truth["label"].values.ravel()
    known = (guess >= 0) & (true >= 0)
    assert scores.attrs["n_without_true_class"] == (true < 0).sum()
    assert scores.attrs["n_without_label"] == ((guess < 0) & (true >= 0)).sum()
    guess, true = guess[known], true[known]
    table = confusion_matrix(true, guess, labels=range(4))
    np.testing.assert_array_equal(scores["count"], table[:3])
    assert float(scores["accuracy"]) == pytest.approx(accuracy_score(true, guess))
    options: dict[str, Any] = {"labels": range(3), "average": None}
    np.testing.assert_allclose(scores["recall"], recall_score(true, guess, **options))
    np.testing.assert_allclose(scores["precision"][:3], precision_score(true, guess, **options))
    assert np.isnan(scores["precision"][3])
    answered = guess < 3
    assert float(scores["answered"]) == pytest.approx(answered.mean())
    assert float(scores["accuracy_of_answered"]) == pytest.approx(
        accuracy_score(true[answered], guess[answered])
    )
    assert scores["predicted_class"].values.tolist() == [*NAMES, "unknown"]


def test_reliability_is_that_of_a_loop() -> None:
    labels, truth = random_labels(1)
    scores = ice.classification_scores(labels.chunk({"frame": 3}), truth)
    rows = zip(
        *(
            array.values.ravel()
            for array in (labels["label"], truth["label"], labels["probability"])
        ),
        strict=True,
    )
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    for guess, true, probability in rows:
        if true >= 0 and 0 <= guess < 3:
            bins[min(int(probability * 15), 14)].append((float(probability), guess == true))
    n_rows = sum(map(len, bins))
    error = 0.0
    for number, members in enumerate(bins):
        confidence, right = np.mean(members, axis=0)
        assert int(scores["bin_count"][number]) == len(members)
        assert float(scores["bin_confidence"][number]) == pytest.approx(confidence, rel=1e-6)
        assert float(scores["bin_accuracy"][number]) == pytest.approx(right)
        error += abs(right - confidence) * len(members) / n_rows
    assert float(scores["calibration_error"]) == pytest.approx(error, rel=1e-6)
    assert "bin_count" not in ice.classification_scores(labels[["label"]], truth)


def test_classes_are_matched_by_name() -> None:
    labels = labelled([[0, 1, 2, 2]], ("water", "Ih", "unknown"))
    truth = labelled([[2, 0, 1, 2]])
    scores = ice.classification_scores(labels, truth)
    assert float(scores["accuracy"]) == 0.5
    assert scores["recall"].values.tolist() == [1, 0, 0.5]
    # Structures of no class may have that name.
    scores = ice.classification_scores(labels, labelled([[0, 0, 1, 1]], ("water", "unknown")))
    assert float(scores["accuracy"]) == 0.75
    assert float(scores["precision"][2]) == 1.0


def test_bad_input() -> None:
    labels, truth = random_labels()
    with pytest.raises(InputError, match="truth: expected labels with the names"):
        ice.classification_scores(labels, truth.drop_attrs())
    with pytest.raises(InputError, match="expected the same frames"):
        ice.classification_scores(labels, truth.isel(frame=slice(3)))
    with pytest.raises(InputError, match=r"expected labels below 2.* found 2"):
        ice.classification_scores(labels, labelled(truth["label"].values, NAMES[:2]))
    with pytest.raises(InputError, match="expected a Dataset with label"):
        ice.classification_scores(labels, truth.rename(label="phase"))
