"""Variational autoencoder over data of any size."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask import delayed

from icedask.core.collection import Collection
from icedask.core.options import Option, Seed
from icedask.core.rows import feature_template, rows_of
from icedask.core.types import FloatArray, IntArray
from icedask.core.variables import BLOCK, FEATURE
from icedask.errors import InputError
from icedask.learn.base import HiddenLayers, Transformer, warn_if_unsaved
from icedask.nn.mlp import Float32Array, apply_rows
from icedask.nn.row_stream import LANES, RowBlocks, Split, cut_finer, split_by_time, survey
from icedask.tasks.moments import Moments
from icedask.tasks.run import reported_progress

# Standard deviation of a constant feature, relative to the largest of its block.
_FLAT = 1e-6
_CURVE_DIMS = ("epoch",)


class VAE(Transformer):
    """Variational autoencoder; `fit` computes, `transform` is lazy.

    An encoder maps a row of features to a normal distribution in few latent dimensions, a decoder
    maps a draw of it back to the row. The loss is the mean squared error of the scaled row plus
    `beta` times the Kullback-Leibler divergence of the distribution from the standard normal one.

    Rows are read from the blocks of the input in random order, a few blocks in memory at a time.
    Stretches of time are held out; the weights are those of the epoch with the smallest held-out
    loss. Rows with NaN are left out of the fit and stay NaN.

    With `scaling="block"` each block of features (coordinate `block`, see `combine`; all features
    otherwise) is centred and divided by one number, so that all blocks have the same variance.
    With `scaling="feature"` each feature is divided by its own standard deviation, and the blocks
    have the same variance.

    {parameters}

    Attributes
    ----------
    weights_ : dict of str to array
        encoder_0_weight (n_out, n_in), encoder_0_bias (n_out,), ..., float32.
    center_, scale_ : (n_features,) arrays
        Features are taken as (x - center) * scale.
    curves_ : dict of str to (n_epochs,) array
        Means of each epoch: loss, reconstruction (mean squared error of the scaled features, whose
        mean variance is the mean weight of the blocks), divergence, held_loss,
        held_reconstruction.
    step_loss_ : (n_steps,) float32
        Loss of each batch.
    best_epoch_ : int
        Number of the epoch of the weights, from 0: no other is better by a part in a thousand.
    n_samples_ : int
        Rows without NaN.
    held_frames_ : (n,) int64
        Frames with held-out rows; none of a collection, of which stretches of all members are held
        out evenly.

    Notes
    -----
    Kingma and Welling, doi:10.48550/arXiv.1312.6114; with beta, Higgins et al., ICLR 2017.

    The same seed gives the same bits on one machine. The batches are the same for 1, 2, 4 or 8
    ranks if the training rows give eight blocks, and the losses agree to rounding.

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
    _networks = ("encoder", "decoder")

    weights_: dict[str, Float32Array]
    center_: FloatArray
    scale_: FloatArray
    curves_: dict[str, FloatArray]
    step_loss_: Float32Array
    best_epoch_: int
    n_samples_: int
    held_frames_: IntArray

    def __init__(
        self,
        latent_size: Annotated[int, Option("Number of latent dimensions.", at_least=1)] = 8,
        *,
        layers: HiddenLayers = (256, 128, 64),
        beta: Annotated[float, Option("Weight of the divergence.", at_least=0)] = 1e-3,
        warm_up: Annotated[
            int, Option("Epochs of a linear increase of the weight from 0 to beta.", at_least=0)
        ] = 10,
        scaling: Annotated[
            str,
            Option("Unit with a scale of its own.", choices=("block", "feature")),
        ] = "block",
        block_weights: Annotated[
            Mapping[str, float] | None,
            Option("Factors of the variances of blocks, by name; 1 by default.", at_least=0),
        ] = None,
        learning_rate: Annotated[
            float, Option("Rate of Adam; it falls to a twentieth along a cosine.", at_least=0)
        ] = 1e-3,
        batch_size: Annotated[int, Option("Rows of a batch, over all ranks.", at_least=1)] = 1024,
        epochs: Annotated[int, Option("Largest number of epochs.", at_least=1)] = 50,
        epoch_rows: Annotated[
            int, Option("Approximate number of rows of an epoch.", at_least=1)
        ] = 2**18,
        patience: Annotated[
            int, Option("Epochs without held-out progress that end the training.", at_least=1)
        ] = 5,
        holdout: Annotated[
            float, Option("Fraction of the blocks held out; 0 for none.", at_least=0, below=1)
        ] = 0.1,
        seed: Seed = 0,
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

    def fit(
        self,
        x: xr.Dataset | Collection,
        *,
        n_ranks: int = 1,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Train on the rows of `x`.

        Parameters
        ----------
        x : xarray.Dataset or Collection
            One variable (frame, atom, feature), of a collection all members; best read from a
            store: each epoch computes it.
        n_ranks : int
            Worker processes of the active client that train together, one rank on each; 1 trains
            in this process.
        checkpoint : path, optional
            File that the state is written to after each epoch, and resumed from if it exists;
            removed at the end. All ranks must see it.

        Raises
        ------
        InputError
            If a parameter is out of bounds, there are too few rows or workers, or the checkpoint
            is of another training.
        ComputeError
            If the training diverges, or workers are lost repeatedly.
        """
        from icedask.nn.checkpoint import remove_checkpoint
        from icedask.nn.ranks import run_ranks
        from icedask.nn.vae_training import TrainingOptions, train

        values = self.check_parameters()
        warn_if_unsaved(x, "VAE")
        rows = rows_of(x)
        rows = rows._replace(features=cut_finer(rows.features, self.epoch_rows))
        features = rows.features
        moments, counts = survey(features, "VAE: scale", rows.weight_blocks())
        self._check_rows(moments)
        self.center_, self.scale_ = moments.mean, self._scale(moments, x)
        numblocks = features.numblocks[0], features.numblocks[1]
        split = split_by_time(counts, numblocks, self.holdout, self.seed)
        if (weights := rows.weights) is not None:
            split = split.weighted(weights[rows.part_of_block])
        record = self.fitted_record(x)
        path = None if checkpoint is None else Path(checkpoint).resolve()
        for name in ("scaling", "block_weights", "holdout"):
            del values[name]
        options = TrainingOptions(**values, data=record.run_id)
        blocks = RowBlocks(features, self.center_, self.scale_)
        file = None if path is None else str(path)
        with reported_progress("VAE fit", self.epochs, from_worker=n_ranks > 1) as report:
            trained = run_ranks(train, n_ranks, blocks, split, options, file, report)
        if path is not None:
            remove_checkpoint(path)
        self.weights_, self.curves_ = trained.weights, trained.curves
        self.step_loss_, self.best_epoch_ = trained.step_loss, trained.best
        self.n_samples_ = moments.n_rows
        held = np.empty(0, np.int64) if rows.is_pooled else _frames_of(split, features)
        self.held_frames_ = held
        self.note_fit(x)
        return self

    def _check_rows(self, moments: Moments) -> None:
        if moments.n_rows < 2 * LANES:
            raise InputError(
                f"VAE: expected at least {2 * LANES} rows without NaN, found {moments.n_rows}"
            )
        if not np.isfinite(moments.scatter).all():
            raise InputError(
                "VAE: expected features whose squares add up to a number, found some that are too "
                "large; scale them, or leave such rows out as NaN"
            )

    def _scale(self, moments: Moments, x: xr.Dataset | Collection) -> FloatArray:
        """Return the factors of the features."""
        variance = np.diag(moments.scatter) / moments.n
        array = feature_template(x)
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
            part = variance[mine]
            # The variances of all features sum to their number, as if each had a variance of 1.
            share = width / len(blocks) * weights.get(name, 1.0)
            varies = part > _FLAT**2 * part.max()
            if self.scaling == "feature":
                per_feature = np.where(varies, 1 / np.sqrt(np.where(varies, part, 1.0)), 0.0)
                scale[mine] = per_feature * np.sqrt(share / max(int(varies.sum()), 1))
            elif part.sum() > 0:
                scale[mine] = np.sqrt(share / part.sum())
        if not scale.any():
            raise InputError("VAE: expected features that vary, found all rows the same")
        return scale

    def transform(self, x: xr.Dataset) -> xr.Dataset:
        """Encode `x` as the means of its latent coordinates; lazy, and without torch.

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
        model = delayed((self.center_, self.scale_, self.weights_), pure=True)
        return self.map_rows(x, len(self.center_), _encode_block, self.latent_size, model)

    def learned_arrays(self) -> dict[str, tuple[tuple[str, ...], npt.NDArray[Any]]]:
        """Return the learned arrays with their dimensions, by the name of their variable."""
        return super().learned_arrays() | {
            f"curve_{name}": (_CURVE_DIMS, curve) for name, curve in self.curves_.items()
        }

    @classmethod
    def from_dataset(cls, ds: xr.Dataset) -> Self:
        """Return the fitted estimator that a Dataset was made from."""
        estimator = super().from_dataset(ds)
        estimator.curves_ = {
            str(name).removeprefix("curve_"): curve.values
            for name, curve in ds.data_vars.items()
            if curve.dims == _CURVE_DIMS
        }
        return estimator


def _frames_of(split: Split, features: da.Array) -> IntArray:
    """Return the frames with held-out rows."""
    edges = np.concatenate([[0], np.cumsum(features.chunks[0])])
    rows = np.unique(split.held // features.numblocks[1])
    return np.concatenate([np.empty(0, int), *(np.arange(*edges[[r, r + 1]]) for r in rows)])


def _encode_block(block: npt.NDArray[np.floating], model: tuple[Any, ...]) -> Float32Array:
    center, scale, weights = model
    rows = block.reshape(-1, block.shape[-1])
    encoded = apply_rows(rows, center, scale, weights, "encoder")
    # Means, then the logarithms of variances.
    return encoded[:, : encoded.shape[1] // 2].reshape(*block.shape[:2], -1)
