"""How good the maps of some representations are, and how stable the clusters in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from icedask.learn.motifs import clusters
from icedask.learn.umap import embed
from icedask.reports import stage

FloatArray = npt.NDArray[np.float64]

# Of the rows, in a map for the comparison with that of all.
_PART = 0.8
# Neighbours of trustworthiness, and rows that it is measured on: its time grows as their square.
_NEIGHBORS, _MOST = 15, 5000


@dataclass(frozen=True)
class MapSettings:
    """How maps are made and clustered.

    Attributes
    ----------
    n_neighbors, min_dist
        Of UMAP.
    min_cluster_size
        Part of the rows.
    method
        Of selecting clusters.
    seed
        Of the first map.
    """

    n_neighbors: int
    min_dist: float
    min_cluster_size: float
    method: str
    seed: int

    def labels(
        self, rows: FloatArray, seed: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Return the map of rows, and its clusters."""
        places = embed(rows, 2, self.n_neighbors, self.min_dist, seed)
        size = max(2, round(self.min_cluster_size * len(rows)))
        return places, clusters(places, size, None, self.method)


def score_maps(
    spaces: Mapping[str, FloatArray],
    features: FloatArray,
    classes: npt.NDArray[np.integer],
    settings: MapSettings,
) -> pd.DataFrame:
    """Map and cluster the same rows by several representations.

    Parameters
    ----------
    spaces
        By name: (n, n_features) each.
    features
        (n, n_features) what a map should keep the neighbours of.
    classes
        (n,) known classes; rows with a negative one do not count for the separation.
    settings
        Of all maps.

    Returns
    -------
    pandas.DataFrame
        By name: dimensions; motifs; noise, the part of the rows in none; trustworthiness of the
        map, of the neighbours by `features`; stability under
        another seed and on a random part of the rows, and separation of the known classes, as
        adjusted Rand indices.
    """
    from sklearn.manifold import trustworthiness
    from sklearn.metrics import adjusted_rand_score

    generator = np.random.default_rng(settings.seed)
    n = len(features)
    part = np.sort(generator.permutation(n)[: round(_PART * n)])
    looked_at = np.sort(generator.permutation(n)[:_MOST])
    known = classes >= 0
    found = {}
    with stage("scores of maps", 3 * len(spaces)) as advance:
        for name, rows in spaces.items():
            places, labels = settings.labels(rows, settings.seed)
            advance(1)
            _, other = settings.labels(rows, settings.seed + 1)
            advance(1)
            _, fewer = settings.labels(rows[part], settings.seed)
            advance(1)
            found[name] = {
                "dimensions": rows.shape[1],
                "motifs": int(labels.max()) + 1,
                "noise": float(np.mean(labels < 0)),
                "trustworthiness": trustworthiness(
                    features[looked_at], places[looked_at], n_neighbors=_NEIGHBORS
                ),
                "ARI, another seed": adjusted_rand_score(labels, other),
                "ARI, 80 % of the rows": adjusted_rand_score(labels[part], fewer),
                "ARI with known classes": adjusted_rand_score(classes[known], labels[known]),
            }
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("space")
