"""Quality of the maps of some representations, and stability of the clusters in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import feature_blocks, lazy_blocks
from icedask.core.provenance import record_of, stamped
from icedask.core.types import FloatArray
from icedask.core.variables import ATOM, BLOCK, FRAME, SPACE, summary_variables
from icedask.learn.umap import embed
from icedask.learn.vae import VAE
from icedask.motifs.motifs import clusters
from icedask.tasks.progress import stage
from icedask.tasks.sampling import draw, rows_at

# Part of the rows in a map for the comparison with that of all.
_PART = 0.8
# Neighbours of trustworthiness, and most rows: its time grows as their square.
_NEIGHBORS, _MOST = 15, 5000


@dataclass(frozen=True)
class MapSettings:
    """Options of UMAP and of `Motifs` for each map, and the seed of the first."""

    n_neighbors: int
    min_dist: float
    min_cluster_size: float
    method: str
    assign_noise: bool
    seed: int

    def labels(
        self, rows: FloatArray, seed: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Return the map of rows, and the labels of its clusters."""
        # Part of the rows may be fewer than the map of all needs.
        n_neighbors = min(self.n_neighbors, len(rows) - 2)
        places = embed(rows, 2, n_neighbors, self.min_dist, seed)
        size = max(2, round(self.min_cluster_size * len(rows)))
        return places, clusters(places, size, None, self.method, assign_noise=self.assign_noise)


def map_scores(
    features: xr.Dataset,
    vae: VAE,
    latent: xr.Dataset,
    reference: xr.Dataset,
    known: Sequence[str],
    settings: MapSettings,
    *,
    block: str,
    size: int = 6000,
) -> xr.Dataset:
    """Map and cluster the same rows by an autoencoder and by simpler representations; computes.

    Parameters
    ----------
    features : xarray.Dataset
        Features that the autoencoder was fitted on.
    vae, latent : VAE, xarray.Dataset
        Fitted, and its latent coordinates.
    reference : xarray.Dataset
        label (frame, atom) of known classes with flags.
    known : sequence of str
        Classes for the separation; others do not count.
    settings : MapSettings
        Options of all maps.
    block : str
        Block of the features to map alone.
    size : int
        Rows of the comparison, the same share of each frame.

    Returns
    -------
    xarray.Dataset
        By space, autoencoder, pca (as many dimensions), features (scaled as for the autoencoder)
        and the block: dimensions; motifs; noise, the part of the rows in none; trustworthiness of
        the map for neighbours by the scaled features; stability_seed and stability_rows, of the
        motifs under another seed and on four fifths of the rows, and separation of the known
        classes, as adjusted Rand indices; the last is NaN with fewer than two classes.

    References
    ----------
    Trustworthiness: Venna and Kaski, doi:10.1007/3-540-44668-0_68
    """
    chosen = draw(latent.sizes[FRAME], latent.sizes[ATOM], size, settings.seed)
    rows, coordinates = (rows_at(feature_blocks(dataset), chosen) for dataset in (features, latent))
    classes = rows_at(lazy_blocks(reference["label"])[:, :, None], chosen)[:, 0].astype(int)
    finite = np.isfinite(rows).all(axis=1)
    scaled = ((rows - vae.center_) * vae.scale_)[finite]
    names = reference["label"].attrs["flag_meanings"].split()
    numbers = [names.index(name) for name in known]
    classes = np.where(np.isin(classes, numbers), classes, -1)[finite]
    mine = features[BLOCK].values == block
    spaces = {
        "autoencoder": coordinates[finite],
        "pca": _principal(scaled, coordinates.shape[1]),
        "features": scaled,
        block: scaled[:, mine],
    }
    table = _score(spaces, scaled, classes, settings)
    columns: dict[str, Any] = {name: [row[name] for row in table.values()] for name in table[block]}
    parameters = {**asdict(settings), "known": [*known], "block": block, "size": size}
    record = record_of(latent).child(
        "results", "map_scores", 1, parameters, record_of(features), record_of(reference)
    )
    variables = summary_variables("map_scores", **columns)
    return stamped(xr.Dataset(variables, {SPACE: list(table)}), record)


def _principal(rows: FloatArray, n: int) -> FloatArray:
    """Return the first n principal components."""
    centered = rows - rows.mean(axis=0)
    _, vectors = np.linalg.eigh(centered.T @ centered)
    return np.asarray(centered @ vectors[:, ::-1][:, :n])


def _score(
    spaces: Mapping[str, FloatArray],
    features: FloatArray,
    classes: npt.NDArray[np.int64],
    settings: MapSettings,
) -> dict[str, dict[str, float]]:
    from sklearn.manifold import trustworthiness
    from sklearn.metrics import adjusted_rand_score

    generator = np.random.default_rng(settings.seed)
    n = len(features)
    part = np.sort(generator.permutation(n)[: round(_PART * n)])
    sample = np.sort(generator.permutation(n)[:_MOST])
    n_neighbors = min(_NEIGHBORS, (len(sample) - 1) // 2)
    known = classes >= 0
    # Any clusters agree with one class, or none, in some way.
    separable = len(np.unique(classes[known])) > 1
    table = {}
    with stage("scores of maps", 3 * len(spaces)) as advance:
        for name, rows in spaces.items():
            places, labels = settings.labels(rows, settings.seed)
            advance(1)
            _, other = settings.labels(rows, settings.seed + 1)
            advance(1)
            _, fewer = settings.labels(rows[part], settings.seed)
            advance(1)
            separation = adjusted_rand_score(classes[known], labels[known]) if separable else np.nan
            table[name] = {
                "dimensions": rows.shape[1],
                "motifs": int(labels.max()) + 1,
                "noise": float(np.mean(labels < 0)),
                "trustworthiness": trustworthiness(
                    features[sample], places[sample], n_neighbors=n_neighbors
                ),
                "stability_seed": adjusted_rand_score(labels, other),
                "stability_rows": adjusted_rand_score(labels[part], fewer),
                "separation": separation,
            }
    return table
