"""Onion clustering: the states in which time series of single atoms stay for a while."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import ClassVar, Self

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import (
    feature_variable,
    input_record,
    lazy_blocks,
    row_coords,
    whole_number,
)
from icedask.core.provenance import stamped
from icedask.core.trajectory import check_even_steps, frame_interval
from icedask.core.variables import ATOM, FRAME, VARIABLES
from icedask.errors import InputError
from icedask.learn.base import Estimator
from icedask.learn.onion.gaussians import Gaussian, thresholds
from icedask.learn.onion.search import Answer, Found, Layers, Question, merge, search
from icedask.store.chunks import plan_windows
from icedask.tasks.reduce import reduce_blocks

Search = Generator[Question, Answer, Found]


class OnionClustering(Estimator):
    """States of single atoms from their time series, layer by layer; `fit` computes.

    The values that are left, at first all, have a density whose highest peak is fitted by a
    Gaussian: a state. Each window of successive frames in which an atom stays within
    mean +- n_sigma sigma belongs to it and is taken away, so that smaller peaks emerge from what
    is left, until no window is in the next state. States that others cover are dropped. A window
    that was taken away belongs to the state whose Gaussian is the highest at its median, if its
    values differ by no more than that state's 2 n_sigma sigma; any other window is noise. So a
    state is something that an atom stays in for the time of a window at least: see `onion_scan`
    for the choice of this time.

    The windows follow each other from the first frame on; frames after the last whole window,
    and windows with NaN, as the last one of LENS has, are noise.

    `fit` reads its input once for each state and a few times more: save what takes long to
    compute before. `predict` is lazy.

    Parameters
    ----------
    window : int
        Frames of a window: the time resolution.
    n_sigma : float
        Half the width of a state's band, in its sigma, which is sqrt(2) standard deviations.
    bins : int
        Points at which the density of the values that are left is calculated.

    Attributes
    ----------
    means_, sigmas_, areas_ : (n_states,) arrays
        area / (sqrt(pi) sigma) exp(-((x - mean) / sigma)^2) of each state, in the order of the
        means; the area is a share of all values.
    fractions_ : (n_states,) array
        Fraction of the windows without NaN that are in each state.
    thresholds_ : (n_states - 1,) array
        Where the Gaussians of successive states cross; where they do not between the means, the
        mean of the means weighted by 1 / sigma.
    bands_ : (n_found, 2) array
        Ends of the bands of all states, in the order in which they were found; those of states
        that were dropped included.
    n_states_, n_windows_ : int
        Number of states, and of windows without NaN.
    unclassified_ : float
        Fraction of these windows that are in no state.

    Notes
    -----
    States and thresholds equal those of the authors' tropea-clustering. Its labels may differ
    where states overlap: it weighs them at the median with sigma for the standard deviation, so
    that they change beside the threshold, and also labels windows that are in no band, if their
    values are close to each other.

    References
    ----------
    Becchi, Fantolino and Pavan, PNAS 121, e2403771121 (2024), doi:10.1073/pnas.2403771121

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> rng = np.random.default_rng(0)
    >>> level = np.arange(40) // 10 % 2
    >>> x = xr.Dataset({"x": (("frame", "atom"), rng.normal(level[:, None], 0.1, (40, 50)))})
    >>> ice.OnionClustering(10).fit(x).means_.round(1)
    array([0., 1.])
    """

    _slug = "onion"
    _version = 1
    _learned: ClassVar = {
        "means": ("state",),
        "sigmas": ("state",),
        "areas": ("state",),
        "fractions": ("state",),
        "thresholds": ("threshold",),
        "bands": ("band", "end"),
    }
    _numbers = ("n_states", "n_windows", "unclassified")

    means_: npt.NDArray[np.float64]
    sigmas_: npt.NDArray[np.float64]
    areas_: npt.NDArray[np.float64]
    fractions_: npt.NDArray[np.float64]
    thresholds_: npt.NDArray[np.float64]
    bands_: npt.NDArray[np.float64]
    n_states_: int
    n_windows_: int
    unclassified_: float

    def __init__(self, window: int, *, n_sigma: float = 2.0, bins: int = 100) -> None:
        self.window = window
        self.n_sigma = n_sigma
        self.bins = bins

    def fit(self, x: xr.Dataset) -> Self:
        """Find the states of the series of `x`.

        Parameters
        ----------
        x : xarray.Dataset
            One variable (frame, atom) at even time steps, lazy or not.

        Raises
        ------
        InputError
            If `x` has no such variable, a parameter is out of bounds, there is no whole window
            without NaN or all values are the same.
        """
        array = _series(x)
        ((_, found),) = _explored(array, [self])
        self.means_, self.sigmas_, self.areas_ = np.array(found.states, float).reshape(-1, 3).T
        self.fractions_ = found.counts / found.n_windows
        self.thresholds_ = thresholds(found.states)
        self.bands_ = np.array(found.layers.bands, float).reshape(-1, 2)
        self.n_states_ = len(found.states)
        self.n_windows_ = found.n_windows
        self.unclassified_ = found.unclassified
        self.record_ = self.fitted_record(x)
        return self

    def predict(self, x: xr.Dataset) -> xr.Dataset:
        """Label every row of `x`; lazy.

        Returns
        -------
        xarray.Dataset
            label (frame, atom), int32: the same in all frames of a window, -1 for noise.

        Raises
        ------
        InputError
            If `x` has no variable (frame, atom) at even time steps, or another one than the fit.
        """
        self.check_fitted()
        array = _series(x)
        self.check_features(x, 1, 1)
        data = lazy_blocks(array)
        n_frames, n_atoms = data.shape
        blocks = plan_windows(n_frames, n_atoms, data.dtype.itemsize, halo=self.window)
        # Whole windows.
        frames = -(-blocks.frames // self.window) * self.window
        with dask.config.set({"array.rechunk.method": "tasks"}):
            data = data.rechunk((frames, blocks.atoms))
        spec = VARIABLES["label"]
        states = np.stack([self.means_, self.sigmas_, self.areas_], axis=1)
        label = da.map_blocks(
            _label_block,
            data,
            layers=Layers(self.window, [(low, high) for low, high in self.bands_.tolist()]),
            states=[Gaussian(*one) for one in states.tolist()],
            n_sigma=float(self.n_sigma),
            meta=np.empty((0, 0), spec.dtype),
        )
        record = self.record_.child("results", self._slug, self._version, {}, input_record(x))
        ds = xr.Dataset({"label": (spec.dims, label, spec.attrs)}, row_coords(array))
        return stamped(ds, record)

    def fit_predict(self, x: xr.Dataset) -> xr.Dataset:
        """Fit on `x`, then label it; the labels are lazy."""
        return self.fit(x).predict(x)

    def _search(self, n_frames: int) -> Search:
        """Return the search that a fit runs.

        Raises
        ------
        InputError
            If a parameter is out of bounds.
        """
        name = "OnionClustering"
        window = whole_number(self.window, f"{name}: window", at_least=1)
        bins = whole_number(self.bins, f"{name}: bins", at_least=10)
        number = isinstance(self.n_sigma, int | float | np.number)
        if not number or isinstance(self.n_sigma, bool) or not 0 < self.n_sigma < np.inf:
            raise InputError(f"{name}: n_sigma: expected a number above 0, found {self.n_sigma!r}")
        if window > n_frames:
            raise InputError(
                f"{name}: window {window} needs at least {window} frames with values, the "
                f"trajectory has {n_frames}; choose a shorter window"
            )
        return search(window, float(self.n_sigma), bins)


def onion_scan(
    x: xr.Dataset, windows: Sequence[int], *, n_sigma: float = 2.0, bins: int = 100
) -> xr.Dataset:
    """Number of states and fraction of noise that Onion clustering finds, by window; computes.

    Longer windows find only what is stable for longer: states of shorter lives are lost and the
    noise grows. A good window is from a plateau of the number of states, where noise is rare.

    All windows are tried in the same passes over `x`, of which there are as many as the longest
    fit takes.

    Parameters
    ----------
    x : xarray.Dataset
        One variable (frame, atom) at even time steps, lazy or not.
    windows : sequence of int
        Frames of a window.
    n_sigma, bins
        As in `OnionClustering`.

    Returns
    -------
    xarray.Dataset
        n_states (window), and unclassified (window): the fraction of the windows without NaN that
        are in no state. Coordinates window, frames, and window_time, picosecond, where the times
        of the frames are known.

    Raises
    ------
    InputError
        As `OnionClustering.fit` does, for any of the windows; if there are none.

    References
    ----------
    Becchi, Fantolino and Pavan, PNAS 121, e2403771121 (2024), doi:10.1073/pnas.2403771121

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> rng = np.random.default_rng(0)
    >>> level = np.arange(40) // 10 % 2
    >>> x = xr.Dataset({"x": (("frame", "atom"), rng.normal(level[:, None], 0.1, (40, 50)))})
    >>> ice.onion_scan(x, [5, 10])["n_states"].values
    array([2, 2])
    """
    array = _series(x)
    if isinstance(windows, str) or not np.iterable(windows):
        raise InputError(
            f"onion_scan: windows: expected numbers of frames such as [5, 10], found {windows!r}"
        )
    models = [OnionClustering(window, n_sigma=n_sigma, bins=bins) for window in windows]
    if not models:
        raise InputError("onion_scan: windows: expected at least one number of frames, found none")
    results = _explored(array, models)
    frames = [window for window, _ in results]
    values = {
        "n_states": [len(found.states) for _, found in results],
        "unclassified": [found.unclassified for _, found in results],
    }
    coords = {"window": np.array(frames)}
    interval = frame_interval(array)
    if interval:
        coords["window_time"] = interval * np.array(frames)
    parameters = {"windows": frames, "n_sigma": n_sigma, "bins": bins}
    record = input_record(x).child("results", "onion_scan", 1, parameters)
    specs = {name: VARIABLES[name] for name in (*values, *coords)}
    variables = {
        name: (specs[name].dims, np.array(value, specs[name].dtype), specs[name].attrs)
        for name, value in (values | coords).items()
    }
    ds = xr.Dataset(variables).set_coords(list(coords))
    return stamped(ds, record)


def _series(x: xr.Dataset) -> xr.DataArray:
    array = feature_variable(x)
    if array.ndim != 2:
        raise InputError(
            f"OnionClustering: expected a variable (frame, atom), found {array.name} with the "
            f"dimensions {array.dims}; choose one component, for example "
            f"x.isel({array.dims[2]}=0)"
        )
    if array.sizes[ATOM] == 0:
        raise InputError("OnionClustering: expected at least one atom, found none")
    check_even_steps(array.coords.to_dataset(), "OnionClustering")
    return array


def _explored(array: xr.DataArray, models: Sequence[OnionClustering]) -> list[tuple[int, Found]]:
    """Return the window of each model and what its search finds, all in the same passes."""
    n_frames = array.sizes[FRAME] - int(array.attrs.get("delay", 0))
    searches = [model._search(n_frames) for model in models]
    blocks, core = _blocks(array, max(int(model.window) for model in models))
    questions = {number: next(search) for number, search in enumerate(searches)}
    found: dict[int, Found] = {}
    n_passes = 0
    while questions:
        n_passes += 1
        cells = da.blockwise(
            _answer_block,
            "fa",
            core,
            "f",
            blocks,
            "fa",
            questions=list(questions.values()),
            align_arrays=False,
            meta=np.empty((0, 0), object),
        )
        answers = reduce_blocks(cells, _answers_of, _merge_answers, f"onion, pass {n_passes}")
        asked = dict(zip(questions, answers, strict=True))
        questions = {}
        for number, answer in asked.items():
            try:
                questions[number] = searches[number].send(answer)
            except StopIteration as end:
                found[number] = end.value
    return [(int(model.window), found[number]) for number, model in enumerate(models)]


def _blocks(array: xr.DataArray, longest: int) -> tuple[da.Array, da.Array]:
    """Return blocks with the frames after them that windows reach into, and their own frames."""
    data, halo = lazy_blocks(array), longest - 1
    n_frames, n_atoms = data.shape
    plan = plan_windows(n_frames, n_atoms, data.dtype.itemsize, halo=halo)
    with dask.config.set({"array.rechunk.method": "tasks"}):
        data = data.rechunk((plan.frames, plan.atoms))
    core = da.from_array(np.arange(n_frames), chunks=(data.chunks[0],))
    if halo and data.numblocks[0] > 1:
        data = da.overlap.overlap(data, depth={0: (0, halo)}, boundary="none", allow_rechunk=False)
    return data, core


def _answer_block(
    core: npt.NDArray[np.int64], values: npt.NDArray[np.floating], questions: Sequence[Question]
) -> npt.NDArray[np.object_]:
    """Answer questions for the windows that begin in the core frames."""
    answers = []
    for question in questions:
        window = question.layers.window
        first = int(-core[0] % window)
        begun = max(0, -(-(len(core) - first) // window))
        whole = min(begun, max(0, len(values) - first) // window)
        answers.append(question.answer(values[first : first + whole * window]))
    cell = np.empty((1, 1), object)
    cell[0, 0] = answers
    return cell


def _answers_of(cell: npt.NDArray[np.object_]) -> list[Answer]:
    return cell[0, 0]


def _merge_answers(parts: Sequence[list[Answer]]) -> list[Answer]:
    return [merge(answers) for answers in zip(*parts, strict=True)]


def _label_block(
    values: npt.NDArray[np.floating], layers: Layers, states: Sequence[Gaussian], n_sigma: float
) -> npt.NDArray[np.int32]:
    """Return the labels of a block that begins with a window."""
    labels = np.full(values.shape, -1, np.int32)
    whole = len(values) // layers.window * layers.window
    found = layers.labels(values[:whole], states, n_sigma)
    labels[:whole] = np.repeat(found, layers.window, axis=0)
    return labels
