"""Condensed tree of a fitted HDBSCAN as arrays, and prediction of labels from it.

A new point joins its nearest sample point by mutual reachability, and the cluster of that point at
the density of the new one (McInnes and Healy, doi:10.1109/ICDMW.2017.12).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from icedask.core.types import FloatArray, IntArray, LabelArray

_ROWS = 8192


@dataclass(frozen=True)
class DensityTree:
    """Arrays of a condensed tree, whose clusters are numbered from the root, 0."""

    points: FloatArray  # (n_points, n_features)
    core: FloatArray  # (n_points,): core distance of each point
    # (n_points,): smallest cluster of each point, and the inverse distance at which the point
    # leaves it.
    point_cluster: IntArray
    point_lambda: FloatArray
    # (n_clusters_of_tree,): parent of each cluster (-1 for the root) and the inverse distance at
    # which it splits off.
    parent: IntArray
    birth: FloatArray
    label: IntArray  # (n_clusters_of_tree,): number of the selected cluster that contains it, or -1
    # (n_clusters_of_tree,), (n_labels,): largest inverse distance of the members of each cluster,
    # and of each selected cluster.
    peak: FloatArray
    selected_peak: FloatArray
    # (n_clusters_of_tree, n_labels): inverse distance of the branch point with a selected cluster;
    # NaN where one contains the other.
    merge: FloatArray
    # (n_exemplars,): most persistent points of the selected clusters.
    exemplars: IntArray
    exemplar_label: IntArray
    min_samples: IntArray  # Neighbours that define the core distance

    @property
    def n_labels(self) -> int:
        """Number of clusters."""
        return len(self.selected_peak)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the attributes by name."""
        return {item.name: np.asarray(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def of(cls, clusterer: Any, points: FloatArray, min_samples: int) -> DensityTree:
        """Take the arrays from a fitted `hdbscan.HDBSCAN`."""
        raw = clusterer.condensed_tree_.to_numpy()
        n_points = len(points)
        is_cluster = raw["child"] >= n_points
        n_clusters = int(raw["parent"].max()) - n_points + 1
        parent = np.full(n_clusters, -1)
        birth = np.zeros(n_clusters)
        children = raw["child"][is_cluster].astype(np.int64) - n_points
        parent[children] = raw["parent"][is_cluster].astype(np.int64) - n_points
        birth[children] = raw["lambda_val"][is_cluster]
        members = raw[~is_cluster]
        order = np.argsort(members["child"])
        point_cluster = members["parent"][order].astype(np.int64) - n_points
        point_lambda = members["lambda_val"][order].astype(float)
        peak = np.zeros(n_clusters)
        np.maximum.at(peak, raw["parent"].astype(np.int64) - n_points, raw["lambda_val"])
        selected = (
            np.array(sorted(clusterer.condensed_tree_._select_clusters()), np.int64) - n_points
        )
        label = np.full(n_clusters, -1)
        label[selected] = np.arange(len(selected))
        # A child has a larger number than its parent: one pass carries labels down the tree.
        for cluster in range(n_clusters):
            if label[cluster] < 0 and parent[cluster] >= 0:
                label[cluster] = label[parent[cluster]]
        exemplars = _exemplars(point_cluster, point_lambda, parent, peak, label)
        tree = cKDTree(points)
        core = tree.query(points, k=[min(min_samples, n_points)])[0][:, 0]
        return cls(
            points,
            core,
            point_cluster,
            point_lambda,
            parent,
            birth,
            label,
            peak,
            peak[selected],
            _merge_table(parent, birth, selected),
            exemplars,
            label[point_cluster[exemplars]],
            np.array(min_samples),
        )

    def predict(
        self, points: npt.NDArray[np.floating], *, assign_noise: bool
    ) -> tuple[LabelArray, npt.NDArray[np.float32]]:
        """Return label and strength of membership of each row; rows with NaN get -1 and 0."""
        labels = np.full(len(points), -1, np.int32)
        strength = np.zeros(len(points), np.float32)
        if self.n_labels == 0:
            return labels, strength
        tree = cKDTree(self.points)
        nearest_exemplar = [
            cKDTree(self.points[self.exemplars[self.exemplar_label == number]])
            for number in range(self.n_labels)
        ]
        rows = np.flatnonzero(np.isfinite(points).all(axis=1))
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            values = points[part].astype(np.float64)
            neighbor, density = self._attach(tree, values)
            labels[part], strength[part] = self._descend(neighbor, density)
            noise = labels[part] < 0
            if assign_noise and noise.any():
                labels[part[noise]] = self._softest(
                    nearest_exemplar, values[noise], neighbor[noise], density[noise]
                )
        return labels, strength

    def _attach(self, tree: cKDTree, points: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return the nearest sample point by mutual reachability, and the inverse distance."""
        k = int(self.min_samples)
        count = min(max(2 * k, 2), len(self.points))
        distances, indices = tree.query(points, k=count)
        own_core = distances[:, min(k, count - 1)]
        reach = np.maximum(np.maximum(self.core[indices], own_core[:, None]), distances)
        best = np.argmin(reach, axis=1)
        row = np.arange(len(points))
        with np.errstate(divide="ignore"):
            density = 1.0 / reach[row, best]
        return indices[row, best], np.minimum(density, np.finfo(float).max)

    def _descend(
        self, neighbor: IntArray, density: FloatArray
    ) -> tuple[LabelArray, npt.NDArray[np.float32]]:
        cluster = self.point_cluster[neighbor].copy()
        # Sparser than its neighbour: up to the ancestor that exists at the point's own density.
        climbing = self.point_lambda[neighbor] > density
        while True:
            climbing &= (self.parent[cluster] >= 0) & (self.birth[cluster] >= density)
            if not climbing.any():
                break
            cluster[climbing] = self.parent[cluster[climbing]]
        labels = self.label[cluster]
        peak = np.where(labels >= 0, self.selected_peak[labels], 0.0)
        strength = np.where(peak > 0, np.minimum(density, peak) / np.where(peak > 0, peak, 1), 1.0)
        return labels.astype(np.int32), np.where(labels >= 0, strength, 0).astype(np.float32)

    def _softest(
        self,
        nearest_exemplar: list[cKDTree],
        points: FloatArray,
        neighbor: IntArray,
        density: FloatArray,
    ) -> LabelArray:
        """Return the cluster of largest soft membership: near exemplars, and a late merger."""
        distance = np.stack([tree.query(points)[0] for tree in nearest_exemplar], axis=1)
        inverse = 1.0 / np.maximum(distance, np.finfo(float).tiny)
        closeness = inverse / inverse.max(axis=1, keepdims=True)
        cluster = self.point_cluster[neighbor]
        own = np.minimum(density, self.point_lambda[neighbor])
        height = np.where(np.isnan(self.merge[cluster]), own[:, None], self.merge[cluster])
        peak = self.peak[cluster][:, None]
        score = peak / np.maximum(peak - height, 1e-8)
        belonging = np.exp(score - score.max(axis=1, keepdims=True))
        return np.argmax(np.sqrt(closeness) * belonging**2, axis=1).astype(np.int32)


def _exemplars(
    point_cluster: IntArray,
    point_lambda: FloatArray,
    parent: IntArray,
    peak: FloatArray,
    label: IntArray,
) -> IntArray:
    """Return the points with the largest inverse distance in the leaves of selected clusters."""
    is_leaf = np.ones(len(parent), bool)
    is_leaf[parent[parent >= 0]] = False
    last = point_lambda == peak[point_cluster]
    return np.flatnonzero(last & is_leaf[point_cluster] & (label[point_cluster] >= 0))


def _merge_table(parent: IntArray, birth: FloatArray, selected: IntArray) -> FloatArray:
    ancestors: list[list[int]] = []
    for cluster in range(len(parent)):
        line = [cluster]
        while parent[line[-1]] >= 0:
            line.append(int(parent[line[-1]]))
        ancestors.append(line)
    table = np.full((len(parent), len(selected)), np.nan)
    for cluster, line in enumerate(ancestors):
        for number, other in enumerate(selected):
            theirs = ancestors[other]
            if cluster in theirs or other in line:
                continue
            shared = next(ancestor for ancestor in line if ancestor in theirs)
            # Both branches split off their common ancestor at the same inverse distance.
            table[cluster, number] = birth[line[line.index(shared) - 1]]
    return table
