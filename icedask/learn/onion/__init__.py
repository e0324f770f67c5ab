"""Onion clustering: states of single atoms from their time series."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Annotated, ClassVar, Self

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import (
    feature_variable,
    input_record,
    lazy_blocks,
    rechunked,
)
from icedask.core.options import Option
from icedask.core.provenance import stamped
from icedask.core.trajectory import check_atom_order, check_even_steps, frame_interval
from icedask.core.types import FloatArray, IntArray, LabelArray
from icedask.core.variables import ATOM, FRAME, VARIABLES
from icedask.errors import InputError
from icedask.learn.base import Clusterer
from icedask.learn.onion.gaussians import Gaussian, thresholds
from icedask.learn.onion.search import Bands, Query, Result, States, merge, search
from icedask.store.chunks import plan_windows
from icedask.tasks.reduce import reduce_blocks


class OnionClustering(Clusterer):
    """States of single atoms from their time series, layer by layer; `fit` computes.

    A Gaussian is fitted to the highest peak of the density of the values: a state. Each window of
    successive frames in which an atom stays within mean +- n_sigma sigma is assigned to it and
    removed, so that smaller peaks emerge from the remaining values, until no window is in the
    next state. States covered by others are dropped. A removed window belongs to the state whose
    Gaussian is the highest at its median, if its values differ by no more than that state's
    2 n_sigma sigma; any other window is noise. So an atom stays in a state for the time of a
    window at least: see `onion_scan` for the choice of this time.

    The windows follow each other from the first frame on; frames after the last whole window,
    and windows with NaN, as the last one of LENS, are noise.

    `fit` reads its input once for each state and a few times more: save it first if it takes long
    to compute. `predict` is lazy.

    {parameters}

    Attributes
    ----------
    means_, sigmas_, areas_ : (n_states,) arrays
        area / (sqrt(pi) sigma) exp(-((x - mean) / sigma)^2) of each state, in the order of the
        means; the area is a share of all values.
    fractions_ : (n_states,) array
        Fraction of the windows without NaN that are in each state.
    thresholds_ : (n_states - 1,) array
        Crossings of the Gaussians of successive states; without one between the means, the mean
        of the means weighted by 1 / sigma.
    bands_ : (n_found, 2) array
        Ends of the bands of all states, dropped ones included, in the order of the search.
    n_states_, n_windows_ : int
        Number of states, and of windows without NaN.
    unclassified_ : float
        Fraction of these windows in no state.

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

    means_: FloatArray
    sigmas_: FloatArray
    areas_: FloatArray
    fractions_: FloatArray
    thresholds_: FloatArray
    bands_: FloatArray
    n_states_: int
    n_windows_: int
    unclassified_: float

    def __init__(
        self,
        window: Annotated[int, Option("Length of a window.", "frame", at_least=1)],
        *,
        n_sigma: Annotated[
            float,
            Option("Half width of a band in sigma, sqrt(2) standard deviations.", above=0),
        ] = 2.0,
        bins: Annotated[
            int, Option("Points at which the density of the values is calculated.", at_least=10)
        ] = 100,
    ) -> None:
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
        ((_, states),) = _find_states(array, [self])
        gaussians = np.array(states.gaussians, float).reshape(-1, 3)
        self.means_, self.sigmas_, self.areas_ = gaussians.T
        self.fractions_ = states.counts / states.n_windows
        self.thresholds_ = thresholds(states.gaussians)
        self.bands_ = np.array(states.bands.bands, float).reshape(-1, 2)
        self.n_states_ = len(states.gaussians)
        self.n_windows_ = states.n_windows
        self.unclassified_ = states.unclassified
        self.record_ = self.fitted_record(x)
        return self

    def predict(self, x: xr.Dataset) -> xr.Dataset:
        """Label every row of `x`; lazy.

        Returns
        -------
        xarray.Dataset
            label (frame, atom), int32: equal in all frames of a window, -1 for noise.

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
        data = rechunked(data, (frames, blocks.atoms))
        states = np.stack([self.means_, self.sigmas_, self.areas_], axis=1)
        label = da.map_blocks(
            _label_block,
            data,
            bands=Bands(self.window, [(low, high) for low, high in self.bands_.tolist()]),
            states=[Gaussian(*state) for state in states.tolist()],
            n_sigma=float(self.n_sigma),
            meta=np.empty((0, 0), np.int32),
        )
        return self.result(x, {"label": label})

    def search(self, n_frames: int) -> Generator[Query, Result, States]:
        """Return the search for the states of series of `n_frames` frames with values."""
        options = self.check_parameters()
        window = options["window"]
        if window > n_frames:
            raise InputError(
                f"OnionClustering: window {window} needs at least {window} frames with values, the "
                f"trajectory has {n_frames}; choose a shorter window"
            )
        return search(**options)


def onion_scan(
    x: xr.Dataset, windows: Sequence[int], *, n_sigma: float = 2.0, bins: int = 100
) -> xr.Dataset:
    """Number of states and fraction of noise of Onion clustering, by window; computes.

    Longer windows find only states that are stable for longer, and more noise. A good window is
    from a plateau of the number of states, where noise is rare.

    All windows share the passes over `x`, as many as the longest fit takes.

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
        n_states (window), and unclassified (window): the fraction of the windows without NaN in
        no state. Coordinates window, frames, and window_time, picosecond, if the times of the
        frames are known.

    Raises
    ------
    InputError
        As `OnionClustering.fit`, for any of the windows; if there are none.

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
    results = _find_states(array, models)
    frames = [window for window, _ in results]
    values = {
        "n_states": [len(states.gaussians) for _, states in results],
        "unclassified": [states.unclassified for _, states in results],
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
    check_atom_order(x, "OnionClustering")
    return array


def _find_states(
    array: xr.DataArray, models: Sequence[OnionClustering]
) -> list[tuple[int, States]]:
    """Return the window and the states of each model, all from the same passes."""
    n_frames = array.sizes[FRAME] - int(array.attrs.get("delay", 0))
    searches = [model.search(n_frames) for model in models]
    blocks, core = _overlapping_blocks(array, max(int(model.window) for model in models))
    queries = {number: next(search) for number, search in enumerate(searches)}
    states: dict[int, States] = {}
    n_passes = 0
    while queries:
        n_passes += 1
        cells = da.blockwise(
            _query_block,
            "fa",
            core,
            "f",
            blocks,
            "fa",
            queries=list(queries.values()),
            align_arrays=False,
            meta=np.empty((0, 0), object),
        )
        merged = reduce_blocks(cells, _results_of, _merge_results, f"onion, pass {n_passes}")
        results = dict(zip(queries, merged, strict=True))
        queries = {}
        for number, result in results.items():
            try:
                queries[number] = searches[number].send(result)
            except StopIteration as end:
                states[number] = end.value
    return [(int(model.window), states[number]) for number, model in enumerate(models)]


def _overlapping_blocks(array: xr.DataArray, longest: int) -> tuple[da.Array, da.Array]:
    """Return blocks with a halo of the longest window after them, and their core frames."""
    data, halo = lazy_blocks(array), longest - 1
    n_frames, n_atoms = data.shape
    plan = plan_windows(n_frames, n_atoms, data.dtype.itemsize, halo=halo)
    data = rechunked(data, (plan.frames, plan.atoms))
    core = da.from_array(np.arange(n_frames), chunks=(data.chunks[0],))
    if halo and data.numblocks[0] > 1:
        data = da.overlap.overlap(data, depth={0: (0, halo)}, boundary="none", allow_rechunk=False)
    return data, core


def _query_block(
    core: IntArray, values: npt.NDArray[np.floating], queries: Sequence[Query]
) -> npt.NDArray[np.object_]:
    """Return the results of queries for the windows that begin in the core frames."""
    results = []
    for query in queries:
        window = query.bands.window
        first = int(-core[0] % window)
        begun = max(0, -(-(len(core) - first) // window))
        whole = min(begun, max(0, len(values) - first) // window)
        results.append(query.result(values[first : first + whole * window]))
    cell = np.empty((1, 1), object)
    cell[0, 0] = results
    return cell


def _results_of(cell: npt.NDArray[np.object_]) -> list[Result]:
    return cell[0, 0]


def _merge_results(parts: Sequence[list[Result]]) -> list[Result]:
    return [merge(results) for results in zip(*parts, strict=True)]


def _label_block(
    values: npt.NDArray[np.floating], bands: Bands, states: Sequence[Gaussian], n_sigma: float
) -> LabelArray:
    """Return the labels of a block that begins with a window."""
    labels = np.full(values.shape, -1, np.int32)
    whole = len(values) // bands.window * bands.window
    windows = bands.labels(values[:whole], states, n_sigma)
    labels[:whole] = np.repeat(windows, bands.window, axis=0)
    return labels
