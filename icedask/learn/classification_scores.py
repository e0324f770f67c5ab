"""Scores of predicted classes against the true ones, in one pass over the labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.collection import Collection
from icedask.core.features import check_same_rows, lazy_blocks, rechunked
from icedask.core.labels import Labels, checked_labels
from icedask.core.pooled import member_labels, pooled
from icedask.core.provenance import stamped
from icedask.core.types import FloatArray, IntArray
from icedask.core.variables import summary_variables
from icedask.errors import InputError
from icedask.learn.calibration import N_BINS, Reliability, reliability
from icedask.learn.neural_classifier import UNKNOWN
from icedask.tasks.reduce import reduce_blocks

_CALLER = "classification_scores"
_PROBABILITY = "probability"


class _Sums(NamedTuple):
    """Rows by true and predicted class, rows without either, and reliability of answers."""

    by_class: IntArray
    left_out: IntArray
    reliability: Reliability


def classification_scores(
    labels: xr.Dataset | Collection, truth: xr.Dataset | Collection | str
) -> xr.Dataset:
    """Compute accuracy, recall, precision and calibration; computes, in one pass over the labels.

    Classes are matched by their names. Rows without a true class, or without a label for lack of
    features, are left out; attributes have their numbers.

    Parameters
    ----------
    labels : xarray.Dataset or Collection
        What `predict` of a classifier returned: label (frame, atom) with the names of the classes,
        and probability (frame, atom), if calibration is wanted.
    truth : xarray.Dataset, Collection or str
        label (frame, atom) with the names of the classes; -1 for rows to leave out. Of a collection
        also the name of a label of the members.

    Returns
    -------
    xarray.Dataset
        count (true_class, predicted_class); recall (true_class); precision (predicted_class), NaN
        for labels that no row has, and for unknown; accuracy, of all rows, where unknown is wrong
        unless it is the true class; answered, the share of rows that are not unknown, and
        accuracy_of_answered. With probability also the bins of a reliability diagram of the
        answered rows, bin_count, bin_confidence, bin_accuracy (confidence_bin), between bin_low and
        bin_high, and the expected calibration error, the mean over the rows of the difference
        between accuracy and confidence of their bin.

    Raises
    ------
    InputError
        If one has no labels with names, or they are not of the same frames and atoms.

    References
    ----------
    Guo et al., doi:10.48550/arXiv.1706.04599, for the calibration.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> def labelled(values):
    ...     flags = {"flag_values": [0, 1, 2], "flag_meanings": "Ih water unknown"}
    ...     return xr.Dataset({"label": (("frame", "atom"), np.int32([values]), flags)})
    >>> scores = ice.classification_scores(labelled([0, 0, 1, 2]), labelled([0, 1, 1, 1]))
    >>> float(scores["accuracy"]), float(scores["answered"])
    (0.5, 0.75)
    """
    labels, truth = _together(labels, truth)
    predicted, true = (checked_labels(each, _CALLER) for each in (labels, truth))
    check_same_rows(predicted.array, true.array, _CALLER)
    names = [_names(each, text) for each, text in ((predicted, "labels"), (true, "truth"))]
    arrays = [predicted.blocks, rechunked(true.blocks, predicted.blocks.chunks)]
    confidence = _confidence(labels, predicted)
    if confidence is not None:
        arrays.append(confidence)
    right = np.array(names[1])[:, None] == np.array(names[0])
    kernel = partial(_score_block, right=right, unknown=np.array(names[0]) == UNKNOWN)
    sums = reduce_blocks(arrays, kernel, _merged, _CALLER)
    variables: dict[str, Any] = summary_variables(
        _CALLER, **_shares(sums.by_class, right, names[0])
    )
    if confidence is not None:
        variables |= summary_variables("reliability", **_bins(sums.reliability))
    coords = {"true_class": names[1], "predicted_class": names[0]}
    attrs = {
        "n_without_true_class": int(sums.left_out[0]),
        "n_without_label": int(sums.left_out[1]),
    }
    record = predicted.record.child("results", _CALLER, 1, {}, true.record)
    return stamped(xr.Dataset(variables, coords, attrs), record)


def _together(
    labels: xr.Dataset | Collection, truth: xr.Dataset | Collection | str
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the labels of all members as one Dataset, and their true classes."""
    if not isinstance(labels, Collection):
        if not isinstance(truth, xr.Dataset | xr.DataArray):
            raise InputError(
                f"{_CALLER}: truth: expected a Dataset with label (frame, atom), found "
                f"{type(truth).__name__}"
            )
        return labels, truth
    if isinstance(truth, str):
        truth = member_labels(labels, truth)
    if not isinstance(truth, Collection) or list(truth) != list(labels):
        raise InputError(
            f"{_CALLER}: truth: expected the name of a label, or a collection of labels of "
            "the same members, found something else"
        )
    return pooled(labels), pooled(truth)


def _names(labels: Labels, text: str) -> list[str]:
    names = labels.names
    if not names or sorted(names) != list(range(len(names))):
        raise InputError(
            f"{_CALLER}: {text}: expected labels with the names of their classes (flag_values from "
            f"0 and flag_meanings), found {sorted(names) or 'none'}; set both attributes"
        )
    return [names[number] for number in range(len(names))]


def _confidence(labels: xr.Dataset, predicted: Labels) -> da.Array | None:
    """Return the probability of each label, if there is one."""
    if not isinstance(labels, xr.Dataset) or _PROBABILITY not in labels:
        return None
    return rechunked(lazy_blocks(labels[_PROBABILITY]), predicted.blocks.chunks)


def _score_block(
    label: npt.NDArray[np.integer],
    true: npt.NDArray[np.integer],
    confidence: npt.NDArray[np.floating] | None = None,
    *,
    right: npt.NDArray[np.bool_],
    unknown: npt.NDArray[np.bool_],
) -> _Sums:
    for numbers, n_classes in ((label, right.shape[1]), (true, right.shape[0])):
        if (largest := int(numbers.max(initial=-1))) >= n_classes:
            raise InputError(
                f"{_CALLER}: expected labels below {n_classes}, the number of named classes, found "
                f"{largest}; give each class a name in flag_values and flag_meanings"
            )
    known = (label >= 0) & (true >= 0)
    count = np.zeros(right.shape, np.int64)
    np.add.at(count, (true[known], label[known]), 1)
    left_out = np.array([(true < 0).sum(), ((label < 0) & (true >= 0)).sum()])
    answered = known & ~unknown[np.maximum(label, 0)]
    values = np.zeros(answered.sum()) if confidence is None else confidence[answered]
    sums = reliability(values, right[true[answered], label[answered]])
    return _Sums(count, left_out, sums)


def _merged(parts: Sequence[_Sums]) -> _Sums:
    count, left_out, sums = parts[0]
    for part in parts[1:]:
        count, left_out = count + part.by_class, left_out + part.left_out
        sums = sums.merged(part.reliability)
    return _Sums(count, left_out, sums)


def _shares(count: IntArray, right: npt.NDArray[np.bool_], names: Sequence[str]) -> dict[str, Any]:
    hits = count * right
    answers = count[:, np.array(names) != UNKNOWN]
    right_answers = hits[:, np.array(names) != UNKNOWN]
    precision = _share(hits.sum(axis=0), count.sum(axis=0))
    no_class = (np.array(names) == UNKNOWN) & ~right.any(axis=0)
    return {
        "count": count,
        "recall": _share(hits.sum(axis=1), count.sum(axis=1)),
        "precision": np.where(no_class, np.nan, precision),
        "accuracy": _share(hits.sum(), count.sum()),
        "answered": _share(answers.sum(), count.sum()),
        "accuracy_of_answered": _share(right_answers.sum(), answers.sum()),
    }


def _bins(sums: Reliability) -> dict[str, Any]:
    edges = np.linspace(0, 1, N_BINS + 1)
    return {
        "bin_low": edges[:-1],
        "bin_high": edges[1:],
        "bin_count": sums.weight,
        "bin_confidence": _share(sums.confidence, sums.weight),
        "bin_accuracy": _share(sums.hits, sums.weight),
        "calibration_error": sums.error,
    }


def _share(part: npt.ArrayLike, whole: npt.ArrayLike) -> FloatArray:
    """Return part / whole, NaN for nothing."""
    parts, wholes = np.asarray(part, float), np.asarray(whole, float)
    return np.divide(parts, wholes, out=np.full(wholes.shape, np.nan), where=wholes > 0)
