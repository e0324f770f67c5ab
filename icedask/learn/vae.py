"""A variational autoencoder over data of any size."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.core.features import (
    feature_blocks,
    feature_variable,
    whole_number,
)
from icedask.core.provenance import stamped
from icedask.core.types import FloatArray
from icedask.core.variables import BLOCK, FEATURE
from icedask.errors import InputError
from icedask.learn.base import Estimator
from icedask.learn.iterations import check_network, check_options, warn_if_computed_anew
from icedask.learn.latent import latent_of
from icedask.nn.mlp import apply_rows, weight_arrays, weights_of
from icedask.nn.progress import told
from icedask.nn.row_stream import LANES, Blocks, Split, cut_finer, split_by_time, survey
from icedask.tasks.moments import Moments

# Of a standard deviation, relative to that of its block: below, a feature tells nothing.
_FLAT = 1e-6
_CURVE_DIMS = ("epoch",)


class VAE(Estimator):
    """Variational autoencoder; `fit` computes, `transform` is lazy.

    An encoder takes a row of features to a normal distribution in few latent dimensions, a
    decoder takes a draw of it back to the row. The loss is the mean squared error of the row,
    scaled, plus `beta` times the Kullback-Leibler divergence of the distribution from the
    standard normal one.

    Rows come from the blocks of the input in random order, a few blocks at a time: the data are
    never in memory as a whole. Some stretches of time are held out; the weights are those of the
    epoch with the smallest loss there. Rows with NaN are left out of the fit and stay NaN.

    Parameters
    ----------
    latent_size : int
        Latent dimensions.
    layers : sequence of int
        Widths of the encoder's hidden layers, with SiLU between them; the decoder mirrors them.
    beta : float
        Weight of the divergence.
    warm_up : int
        Epochs in which the weight rises from 0 to beta.
    scaling : {"block", "feature"}
        Each block of features (coordinate `block`, see `combine`; all features otherwise) is
        centred and divided by one number, so that all blocks have the same variance; or each
        feature is divided by its own standard deviation, and the blocks have the same variance.
    block_weights : mapping of str to float, optional
        Factors of the variances of blocks, by name; 1 otherwise.
    learning_rate : float
        Of Adam at first; it falls to a twentieth along a cosine.
    batch_size : int
        Rows of a batch, on all ranks together.
    epochs : int
        At most.
    epoch_rows : int
        Rows of an epoch, about; where there are more, epochs take turns.
    patience : int
        Epochs without progress on the rows held out after which the training ends.
    holdout : float
        Part of the blocks that is held out, spread evenly over the time; 0 for none.
    seed : int
        Of the weights, the order of rows, the noise and the choice of what is held out.

    Attributes
    ----------
    weights_ : dict of str to array
        encoder_0_weight (n_out, n_in), encoder_0_bias (n_out,), ..., float32.
    center_, scale_ : (n_features,) arrays
        Features are taken as (x - center) * scale.
    curves_ : dict of str to (n_epochs,) array
        Of each epoch: loss, reconstruction (mean squared error of the scaled features, whose mean
        variance is the mean weight of the blocks), divergence, held_loss, held_reconstruction.
    step_loss_ : (n_steps,) float32
        Loss of each batch.
    best_epoch_ : int
        Number of the epoch, from 0 on, of the weights: no other is better by a part in a thousand.
    n_samples_ : int
        Rows without NaN.
    held_frames_ : (n,) int64
        Frames held out, in whole or in part.

    Notes
    -----
    Kingma and Welling, doi:10.48550/arXiv.1312.6114; with beta, Higgins et al., ICLR 2017.

    The same seed gives the same bits on one machine. Ranks share what one process does: the
    batches are the same for 1, 2, 4 or 8 ranks, if there are as many rows to learn from as give
    eight blocks, and the losses agree to rounding.

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> angle = np.random.default_rng(0).uniform(0, 6, (20, 50))
    >>> rows = np.stack([np.cos(angle), np.sin(angle), np.cos(angle + 1)], axis=2)
    >>> x = xr.Dataset({"features": (("frame", "atom", "feature"), rows)})
    >>> vae = ice.VAE(2, layers=(16,), epochs=3, batch_size=64).fit(x)
    >>> vae.transform(x)["latent"].shape
    (20, 50, 2)
    """

    _slug = "vae"
    _version = 1
    _learned: ClassVar = {
        "center": (FEATURE,),
        "scale": (FEATURE,),
        "step_loss": ("step",),
        "held_frames": ("held_frame",),
    }
    _numbers = ("best_epoch", "n_samples")

    weights_: dict[str, npt.NDArray[np.float32]]
    center_: FloatArray
    scale_: FloatArray
    curves_: dict[str, FloatArray]
    step_loss_: npt.NDArray[np.float32]
    best_epoch_: int
    n_samples_: int
    held_frames_: npt.NDArray[np.int64]

    def __init__(
        self,
        latent_size: int = 8,
        *,
        layers: Sequence[int] = (256, 128, 64),
        beta: float = 1e-3,
        warm_up: int = 10,
        scaling: str = "block",
        block_weights: dict[str, float] | None = None,
        learning_rate: float = 1e-3,
        batch_size: int = 1024,
        epochs: int = 50,
        epoch_rows: int = 2**18,
        patience: int = 5,
        holdout: float = 0.1,
        seed: int = 0,
    ) -> None:
        self.latent_size = latent_size
        self.layers = layers
        self.beta = beta
        self.warm_up = warm_up
        self.scaling = scaling
        self.block_weights = block_weights
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.epoch_rows = epoch_rows
        self.patience = patience
        self.holdout = holdout
        self.seed = seed

    def _check_parameters(self) -> None:
        whole = ("latent_size", "batch_size", "epochs", "epoch_rows", "patience")
        check_options(self, whole, ("beta", "learning_rate"))
        whole_number(self.warm_up, "VAE: warm_up", at_least=0)
        check_network(self)
        if self.scaling not in ("block", "feature"):
            raise InputError(f"VAE: scaling: expected block or feature, found {self.scaling!r}")
        weights = {} if self.block_weights is None else self.block_weights
        if not isinstance(weights, Mapping):
            raise InputError(
                f"VAE: block_weights: expected a number for each name, found {weights!r}"
            )
        for name, weight in weights.items():
            if not isinstance(weight, int | float | np.number) or not 0 <= weight < np.inf:
                raise InputError(
                    f"VAE: block_weights: {name}: expected a number, 0 or more, found {weight!r}"
                )

    def fit(
        self,
        x: xr.Dataset,
        *,
        n_ranks: int = 1,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Learn from the rows of `x`.

        Parameters
        ----------
        x : xarray.Dataset
            One variable (frame, atom, feature), stored rather than computed anew in each epoch.
        n_ranks : int
            Worker processes of the active client that train together, one rank on each; 1 trains
            in this process.
        checkpoint : path, optional
            File that the state is written to after each epoch, and continued from if it is
            there; removed in the end. Ranks must all see it.

        Raises
        ------
        InputError
            If a parameter is out of bounds, there are too few rows or workers, or the checkpoint
            is of another training.
        ComputeError
            If the training diverges, or workers are lost again and again.
        """
        # Torch takes seconds to import.
        from icedask.nn.ranks import run_ranks
        from icedask.nn.vae_training import Plan, train

        self._check_parameters()
        warn_if_computed_anew(x, "VAE")
        features = cut_finer(feature_blocks(x), self.epoch_rows)
        found, counts = survey(features, "VAE: scale")
        self._check_rows(found)
        self.center_, self.scale_ = found.mean, self._scale(found, x)
        numblocks = features.numblocks[0], features.numblocks[1]
        split = split_by_time(counts, numblocks, self.holdout, self.seed)
        record = self.fitted_record(x)
        path = None if checkpoint is None else Path(checkpoint).resolve()
        plan = Plan(
            int(self.latent_size),
            tuple(int(width) for width in self.layers),
            float(self.beta),
            int(self.warm_up),
            float(self.learning_rate),
            int(self.batch_size),
            int(self.epochs),
            int(self.epoch_rows),
            int(self.patience),
            int(self.seed),
            record.run_id,
        )
        blocks = Blocks(features, self.center_, self.scale_)
        with told("VAE fit", self.epochs, n_ranks) as tell:
            trained = run_ranks(
                train, n_ranks, blocks, split, plan, None if path is None else str(path), tell
            )
        if path is not None:
            # With what runs that were killed have left beside it.
            for one in (path, *path.parent.glob(f"{glob.escape(path.name)}.*.new")):
                one.unlink(missing_ok=True)
        self.weights_, self.curves_ = trained.weights, trained.curves
        self.step_loss_, self.best_epoch_ = trained.step_loss, trained.best
        self.n_samples_ = int(found.n)
        self.held_frames_ = _frames_of(split, features)
        self.record_ = record
        return self

    def _check_rows(self, found: Moments) -> None:
        if found.n < 2 * LANES:
            raise InputError(
                f"VAE: expected at least {2 * LANES} rows without NaN, found {found.n}"
            )
        if not np.isfinite(found.scatter).all():
            raise InputError(
                "VAE: expected features whose squares add up to a number, found some that are too "
                "large; scale them, or leave such rows out as NaN"
            )

    def _scale(self, found: Moments, x: xr.Dataset) -> FloatArray:
        """Return what features are multiplied by."""
        variance = np.diag(found.scatter) / found.n
        array = feature_variable(x)
        width = len(variance)
        names = array[BLOCK].values if BLOCK in array.coords else np.full(width, "features")
        weights = self.block_weights or {}
        if unknown := set(weights) - set(names.tolist()):
            raise InputError(
                f"VAE: block_weights: expected names of blocks, {', '.join(np.unique(names))}, "
                f"found {', '.join(sorted(unknown))}"
            )
        blocks = np.unique(names)
        scale = np.zeros(width)
        for name in blocks:
            mine = names == name
            some = variance[mine]
            # The variance of all features together is their number: what is left of it is told
            # per feature.
            share = width / len(blocks) * weights.get(name, 1.0)
            told = some > _FLAT**2 * some.max()
            if self.scaling == "feature":
                per_feature = np.where(told, 1 / np.sqrt(np.where(told, some, 1.0)), 0.0)
                scale[mine] = per_feature * np.sqrt(share / max(int(told.sum()), 1))
            elif some.sum() > 0:
                scale[mine] = np.sqrt(share / some.sum())
        if not scale.any():
            raise InputError("VAE: expected features that vary, found all rows the same")
        return scale

    def transform(self, x: xr.Dataset) -> xr.Dataset:
        """Take `x` to the means of its latent coordinates; lazy, and without torch.

        Returns
        -------
        xarray.Dataset
            latent (frame, atom, component), float32.

        Raises
        ------
        InputError
            If the features are not those of the fit.
        """
        self.check_fitted()
        model = self.center_, self.scale_, self.weights_
        return latent_of(self, x, len(self.center_), self.latent_size, _encode_block, model)

    def fit_transform(self, x: xr.Dataset) -> xr.Dataset:
        """Fit on `x`, then take it to the latent space; the latter is lazy."""
        return self.fit(x).transform(x)

    def to_dataset(self) -> xr.Dataset:
        """Return the learned attributes as a Dataset, to be saved."""
        arrays = weight_arrays(self.weights_)
        arrays |= {f"curve_{name}": (_CURVE_DIMS, one) for name, one in self.curves_.items()}
        return stamped(super().to_dataset().assign(arrays), self.record_)

    @classmethod
    def from_dataset(cls, ds: xr.Dataset) -> Self:
        """Return the fitted estimator that a Dataset was made from."""
        estimator = super().from_dataset(ds)
        estimator.weights_ = weights_of(ds, "encoder", "decoder")
        estimator.curves_ = {
            str(name).removeprefix("curve_"): one.values
            for name, one in ds.data_vars.items()
            if one.dims == _CURVE_DIMS
        }
        return estimator


def _frames_of(split: Split, features: da.Array) -> npt.NDArray[np.int64]:
    """Return the frames that blocks held out have rows of."""
    edges = np.concatenate([[0], np.cumsum(features.chunks[0])])
    rows = np.unique(split.held // features.numblocks[1])
    return np.concatenate([np.empty(0, int), *(np.arange(*edges[[r, r + 1]]) for r in rows)])


def _encode_block(
    block: npt.NDArray[np.floating], model: tuple[Any, ...]
) -> npt.NDArray[np.float32]:
    center, scale, weights = model
    rows = block.reshape(-1, block.shape[-1])
    found = apply_rows(rows, center, scale, weights, "encoder")
    # Means, then the logarithms of variances.
    return found[:, : found.shape[1] // 2].reshape(*block.shape[:2], -1)
