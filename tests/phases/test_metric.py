"""Distances between features: equal to standard tools, for any blocks and poor references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from icedask.errors import InputError
from icedask.phases import metric as space_module
from icedask.phases.metric import Space, principal_space, whitened_space

RNG = np.random.default_rng(0)
CENTERS = RNG.normal(size=(3, 20)) + 3.0
REFERENCES = [
    center + 0.1 * RNG.normal(size=(n, 20)) for center, n in zip(CENTERS, (4, 1, 6), strict=True)
]


def hot(n: int, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    # Wide along one axis of the features.
    width = np.where(np.arange(20) == 2, 0.5, 0.02)
    return [
        rows[rng.integers(0, len(rows), n)] + width * rng.normal(size=(n, 20))
        for rows in REFERENCES
    ]


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("n_components", [1, 4, 100])
def test_principal(cosine: bool, n_components: int) -> None:
    space = principal_space(REFERENCES, n_components, cosine)
    rows = np.concatenate(REFERENCES)
    scaler = StandardScaler().fit(rows)
    pca = PCA(min(n_components, len(rows) - 1)).fit(scaler.transform(rows))
    points = pca.transform(scaler.transform(rows))
    samples = np.concatenate(hot(50))
    distances = cdist(
        pca.transform(scaler.transform(samples)), points, "cosine" if cosine else "euclidean"
    )
    score, phase = space.compare(samples.astype(np.float32))
    np.testing.assert_allclose(score, distances.min(axis=1), rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(phase, np.repeat([0, 1, 2], (4, 1, 6))[distances.argmin(axis=1)])


def test_whitened() -> None:
    space = whitened_space(REFERENCES, hot(400))
    for number, sample in enumerate(hot(400, seed=2)):
        score, phase = space.compare(sample)
        assert (phase == number).mean() > 0.95
        # Nearly all are within what is usual.
        assert np.mean(score < 1.1) > 0.95
    # What noise changes counts less.
    start = REFERENCES[1]
    noisy, quiet = start.copy(), start.copy()
    noisy[0, 2] += 0.3
    quiet[0, 5] += 0.3
    assert space.compare(noisy)[0] < space.compare(quiet)[0]
    np.testing.assert_allclose(space.compare(start)[0], 0, atol=1e-6)
    # Of directions alone: density changes lengths.
    np.testing.assert_allclose(space.compare(1.7 * noisy)[0], space.compare(noisy)[0], rtol=1e-9)


@pytest.fixture(params=["principal", "cosine", "whitened"])
def space(request: pytest.FixtureRequest) -> Space:
    if request.param == "whitened":
        return whitened_space(REFERENCES, hot(50))
    return principal_space(REFERENCES, 5, request.param == "cosine")


def test_blocks_of_rows(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.concatenate(hot(30))
    score, phase = space.compare(samples)
    monkeypatch.setattr(space_module, "CACHED_ROWS", 7)
    again = space.compare(samples)
    np.testing.assert_allclose(again[0], score, rtol=1e-9)
    np.testing.assert_array_equal(again[1], phase)
    none = space.compare(samples[:0])
    assert none[0].shape == none[1].shape == (0,)


def test_no_features_at_all(space: Space) -> None:
    score, phase = space.compare(np.zeros((3, 20)))
    assert np.isfinite(score).all()
    assert (phase < 3).all()


def test_references_once() -> None:
    twice = [np.tile(rows, (2, 1)) for rows in REFERENCES]
    assert len(principal_space(twice, 5, False).references) == 11
    space = principal_space([REFERENCES[0], REFERENCES[0]], 5, False)
    # The same point in two phases stays in both; the first is nearest.
    assert len(space.references) == 8
    assert (space.compare(REFERENCES[0])[1] == 0).all()


def test_references_that_are_all_alike() -> None:
    rounded = REFERENCES[1] * (1 + 1e-7 * np.random.default_rng(0).normal(size=(4, 20)))
    for alike in (REFERENCES[1], rounded):
        for cosine in (False, True):
            with pytest.raises(InputError, match="references with different surroundings"):
                principal_space([alike], 5, cosine)
        space = whitened_space([alike], [hot(200)[1]])
        score, _ = space.compare(hot(200, seed=3)[1])
        assert 0.9 < np.mean(score < 1.1) <= 1.0
