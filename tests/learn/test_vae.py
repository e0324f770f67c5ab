"""Variational autoencoder: training, scaling, checkpoints, storing, and bad input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import torch
import xarray as xr
from helpers.systems import system
from sklearn.exceptions import NotFittedError
from sklearn.metrics import silhouette_score

import icedask as ice
from icedask.errors import ComputeError, InputError
from icedask.nn import vae_training
from icedask.nn.mlp import apply_stack
from icedask.nn.torch_utils import arrays_of
from icedask.nn.vae_training import Autoencoder

SMALL: dict[str, Any] = {"layers": (16,), "epochs": 3, "batch_size": 64, "warm_up": 1}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with dask.config.set(scheduler="sync"):
        yield


def planted(n_frames: int = 20, n_atoms: int = 40, seed: int = 0) -> tuple[xr.Dataset, np.ndarray]:
    """Three clusters in twelve dimensions, and the cluster of each row."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, 3, (n_frames, n_atoms))
    centers = np.random.default_rng(9).normal(0, 3, (3, 12))
    rows = centers[which] + rng.normal(0, 0.5, (*which.shape, 12))
    return dataset(rows), which


def dataset(rows: np.ndarray, blocks: list[str] | None = None) -> xr.Dataset:
    coords = {} if blocks is None else {"block": ("feature", blocks)}
    variable = (("frame", "atom", "feature"), rows.astype(np.float32))
    return xr.Dataset({"features": variable}, coords)


def curved() -> xr.Dataset:
    """Two circles rolled up: two dimensions that no plane holds."""
    angle = np.random.default_rng(1).uniform(-2, 2, (20, 100, 2))
    parts = [np.sin(2 * angle), np.cos(2 * angle), angle]
    return dataset(np.concatenate(parts, axis=2))


def fitted(x: xr.Dataset, latent_size: int = 2, **changes: Any) -> ice.VAE:
    return ice.VAE(latent_size, **{**SMALL, **changes}).fit(x)


@pytest.fixture(scope="module")
def plain() -> ice.VAE:
    with dask.config.set(scheduler="sync"):
        return fitted(planted()[0])


def same(first: ice.VAE, second: ice.VAE) -> bool:
    assert first.weights_.keys() == second.weights_.keys()
    pairs = [(first.weights_[name], second.weights_[name]) for name in first.weights_]
    pairs += [(first.curves_[name], second.curves_[name]) for name in first.curves_]
    pairs.append((first.step_loss_, second.step_loss_))
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


def held_reconstruction(vae: ice.VAE, x: xr.Dataset) -> float:
    """Mean squared error of the held-out rows, by numpy alone."""
    rows = x["features"].values[vae.held_frames_].reshape(-1, len(vae.center_))
    scaled = ((rows - vae.center_) * vae.scale_).astype(np.float32)
    latent = vae.transform(x)["latent"].values[vae.held_frames_].reshape(len(rows), -1)
    return float(((apply_stack(latent, vae.weights_, "decoder") - scaled) ** 2).mean())


def test_clusters_are_separated() -> None:
    x, which = planted()
    vae = fitted(x, epochs=12, learning_rate=3e-3)
    assert vae.step_loss_[-5:].mean() < 0.7 * vae.step_loss_[:5].mean()
    assert vae.curves_["loss"][-1] < vae.curves_["loss"][0]
    assert vae.curves_["held_loss"][-1] < vae.curves_["held_loss"][0]
    latent = vae.transform(x)["latent"].values.reshape(-1, 2)
    assert silhouette_score(latent, which.ravel()) > 0.8
    assert vae.n_samples_ == 800


def test_curved_data_are_reconstructed_better_than_by_pca() -> None:
    x = curved()
    vae = fitted(x, layers=(32, 32), epochs=10, warm_up=0, beta=1e-4, learning_rate=5e-3)
    pca = 1 - ice.PCA(2).fit(x).explained_variance_ratio_.sum()
    assert pca > 0.3
    assert vae.curves_["held_reconstruction"][vae.best_epoch_] < 0.2 * pca
    assert held_reconstruction(vae, x) < 0.2 * pca


def test_encoder_in_numpy_equals_torch(plain: ice.VAE) -> None:
    x, _ = planted(seed=5)
    network = Autoencoder(12, SMALL["layers"], 2)
    network.load_state_dict(
        {name.replace("_", "."): torch.from_numpy(w) for name, w in plain.weights_.items()}
    )
    rows = (x["features"].values.reshape(-1, 12) - plain.center_) * plain.scale_
    with torch.no_grad():
        encoded = network.encoder(torch.from_numpy(rows.astype(np.float32)))
        decoded = network.decoder(encoded[:, :2]).numpy()
    mean = encoded[:, :2].numpy()
    latent = plain.transform(x)["latent"].values.reshape(-1, 2)
    np.testing.assert_allclose(latent, mean, atol=1e-5)
    np.testing.assert_allclose(apply_stack(latent, plain.weights_, "decoder"), decoded, atol=1e-5)
    assert arrays_of(network).keys() == plain.weights_.keys()


@pytest.mark.parametrize("layers", [(), (7,), (9, 5, 4)])
def test_losses(layers: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = Autoencoder(6, layers, 3)
    weights = arrays_of(network)
    rng = np.random.default_rng(0)
    rows, noise = (rng.normal(size=(40, n)).astype(np.float32) for n in (6, 3))
    encoded = apply_stack(rows, weights, "encoder").astype(float)
    mean, deviation = encoded[:, :3], np.exp(0.5 * encoded[:, 3:])
    for drawn, latent in ((noise, mean + noise * deviation), (None, mean)):
        tensor = None if drawn is None else torch.from_numpy(drawn)
        losses = network(torch.from_numpy(rows), tensor)
        error = apply_stack(latent.astype(np.float32), weights, "decoder") - rows
        assert losses.reconstruction.item() == pytest.approx((error**2).mean(), rel=1e-5)
        normal = torch.distributions.Normal
        divergence = torch.distributions.kl_divergence(
            normal(torch.from_numpy(mean), torch.from_numpy(deviation)), normal(0.0, 1.0)
        )
        assert losses.divergence.item() == pytest.approx(divergence.sum(1).mean().item(), rel=1e-5)


def test_beta() -> None:
    x, _ = planted()
    free, bound = (fitted(x, beta=beta, warm_up=0, epochs=6).curves_ for beta in (0.0, 10.0))
    np.testing.assert_allclose(free["loss"], free["reconstruction"])
    np.testing.assert_allclose(
        bound["loss"], bound["reconstruction"] + 10 * bound["divergence"], rtol=1e-5
    )
    assert bound["divergence"][-1] < 0.1 < free["divergence"][-1]


def test_beta_warms_up() -> None:
    x, _ = planted(10)
    curves = fitted(x, beta=5.0, warm_up=2).curves_
    beta = (curves["loss"] - curves["reconstruction"]) / curves["divergence"]
    assert 0 < beta[0] < 2.5 < beta[1] < 5
    assert beta[2] == pytest.approx(5, rel=1e-4)


def test_same_seed_same_bits_for_any_torch_settings(plain: ice.VAE) -> None:
    x, _ = planted()
    threads = torch.get_num_threads()
    torch.manual_seed(7)
    state = torch.get_rng_state()
    with torch.no_grad():
        again = ice.VAE(
            np.int64(2), **{**SMALL, "layers": [np.int64(16)], "seed": np.int64(0)}
        ).fit(x)
    assert same(again, plain)
    assert again.record_.run_id == plain.record_.run_id
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    other = fitted(x, seed=1)
    assert not same(other, plain)
    assert other.record_.run_id != plain.record_.run_id


def test_precision_of_the_input() -> None:
    x, _ = planted(8)
    assert same(fitted(x), fitted(x.astype(np.float64)))
    far = x + 1e4
    moved = fitted(far.astype(np.float64))
    np.testing.assert_allclose(moved.step_loss_, fitted(x).step_loss_, rtol=0.02)


@pytest.mark.parametrize("chunks", [(20, 40), (1, 40), (3, 7)])
def test_transform_of_any_blocks(plain: ice.VAE, chunks: tuple[int, int]) -> None:
    x, _ = planted()
    whole = plain.transform(x)["latent"]
    latent = plain.transform(x.chunk({"frame": chunks[0], "atom": chunks[1], "feature": 5}))
    np.testing.assert_allclose(latent["latent"], whole, atol=1e-6)
    assert latent["latent"].dtype == np.float32
    assert latent["latent"].dims == ("frame", "atom", "component")


def test_transform_is_lazy(plain: ice.VAE, nothing_computes: None) -> None:
    latent = plain.transform(planted()[0].chunk({"frame": 2}))["latent"]
    assert dask.is_dask_collection(latent)
    assert latent.shape == (20, 40, 2)


def test_training_on_blocks_of_any_size() -> None:
    x, _ = planted()
    for chunks in ({"frame": 1}, {"frame": (1, 15, 4), "atom": (3, 37)}):
        vae = fitted(x.chunk(chunks))
        assert vae.n_samples_ == 800
        np.testing.assert_allclose(vae.center_, x["features"].mean(("frame", "atom")), atol=1e-5)
        assert vae.step_loss_[-1] < vae.step_loss_[0]
    # One frame: atoms of it are held out.
    assert fitted(planted(1, 300)[0]).held_frames_.tolist() == [0]


def test_rows_with_nan() -> None:
    x, _ = planted()
    x["features"][3, 5] = np.nan
    x["features"][11, :, 2] = np.nan
    vae = fitted(x)
    assert vae.n_samples_ == 800 - 1 - 40
    assert np.isfinite(vae.step_loss_).all()
    missing = np.isnan(vae.transform(x)["latent"].values)
    assert missing[3, 5].all() and missing[11].all()
    assert missing.sum() == 2 * 41


def test_fewest_rows() -> None:
    x, _ = planted(1, 16)
    assert np.isfinite(fitted(x).step_loss_).all()
    with pytest.raises(InputError, match="expected at least 16 rows without NaN, found 15"):
        fitted(x.isel(atom=slice(15)))


BLOCKS = ["wide"] * 9 + ["one"] * 1 + ["flat"] * 2


def in_blocks() -> xr.Dataset:
    rng = np.random.default_rng(0)
    rows = rng.normal(5, 1, (16, 40, 12)) * np.array([*range(1, 10), 1e-3, 1e5, 1e3])
    rows[..., 3] = 0.1
    rows[..., 11] = 3.3
    return dataset(rows, BLOCKS)


@pytest.mark.parametrize("weights", [None, {"one": 0.25}, {"wide": 0.0}])
def test_scaling_by_block(weights: dict[str, float] | None) -> None:
    x = in_blocks()
    vae = fitted(x, epochs=1, block_weights=weights)
    scaled = (x["features"].values - vae.center_) * vae.scale_
    variance = scaled.reshape(-1, 12).var(axis=0)
    names = np.array(BLOCKS)
    for name in ("wide", "one", "flat"):
        mine = names == name
        # As if each feature had a variance of one, and all blocks the same.
        share = 12 / 3 * (weights or {}).get(name, 1.0)
        assert variance[mine].sum() == pytest.approx(share, rel=1e-4)
        assert np.ptp(vae.scale_[mine]) == 0


def test_scaling_by_feature() -> None:
    x = in_blocks()
    vae = fitted(x, epochs=1, scaling="feature", block_weights={"one": 2.0})
    variance = ((x["features"].values - vae.center_) * vae.scale_).reshape(-1, 12).var(axis=0)
    expected = np.array([4 / 8] * 9 + [8.0] + [4.0] * 2)
    expected[[3, 11]] = 0
    np.testing.assert_allclose(variance, expected, rtol=1e-4, atol=1e-9)
    assert vae.scale_[[3, 11]].tolist() == [0, 0]


def test_without_blocks_all_features_have_one_scale() -> None:
    x, _ = planted(8)
    vae = fitted(x, epochs=1, block_weights={"features": 3.0})
    assert np.ptp(vae.scale_) == 0
    variance = ((x["features"].values - vae.center_) * vae.scale_).var(axis=(0, 1))
    assert variance.sum() == pytest.approx(36, rel=1e-4)


@pytest.mark.parametrize("scaling", ["block", "feature"])
@pytest.mark.parametrize("value", [0.0, 0.1, -1234.567])
def test_features_that_do_not_vary(scaling: str, value: float) -> None:
    x = dataset(np.full((10, 33, 3), value))
    with pytest.raises(InputError, match="expected features that vary, found all rows the same"):
        fitted(x, scaling=scaling)
    # A constant block has no scale.
    rows = np.random.default_rng(0).normal(size=(10, 33, 3))
    rows[..., 2] = value
    vae = fitted(dataset(rows, ["a", "a", "b"]), epochs=1, scaling=scaling)
    assert vae.scale_[2] == 0 and vae.scale_[0] > 0


def test_training_ends_without_held_out_progress() -> None:
    noise = dataset(np.random.default_rng(0).normal(size=(16, 4, 20)))
    vae = fitted(noise, 4, layers=(64,), epochs=60, patience=3, learning_rate=1e-2, beta=0.0)
    held = vae.curves_["held_loss"]
    assert len(held) < 60
    assert len(held) - 1 == max(vae.best_epoch_, SMALL["warm_up"]) + 3
    # Less than a part in a thousand is no progress.
    assert held[vae.best_epoch_] <= held.min() * (1 + 1e-3)
    assert vae.curves_["loss"][-1] < vae.curves_["loss"][vae.best_epoch_]
    assert held_reconstruction(vae, noise) == pytest.approx(held[vae.best_epoch_], rel=1e-4)


@pytest.mark.parametrize("epochs", [1, 2])
def test_weights_are_those_after_the_best_epoch(epochs: int) -> None:
    x, _ = planted()
    vae = fitted(x, epochs=epochs)
    assert vae.best_epoch_ == epochs - 1
    held = vae.curves_["held_reconstruction"]
    assert held_reconstruction(vae, x) == pytest.approx(held[-1], rel=1e-4)


def test_nothing_held_out() -> None:
    x, _ = planted(8)
    vae = fitted(x, holdout=0.0, patience=1)
    assert len(vae.held_frames_) == 0
    assert np.isnan(vae.curves_["held_loss"]).all()
    assert vae.best_epoch_ == 2
    assert len(vae.curves_["loss"]) == 3


def interrupted(x: xr.Dataset, path: Path, patch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Train until an interrupt after the second checkpoint."""
    written: list[Any] = []
    original = vae_training.write_checkpoint

    def breaking(*args: Any) -> None:
        original(*args)
        written.append(args)
        if len(written) == 2:
            raise KeyboardInterrupt

    with patch.context() as within:
        within.setattr(vae_training, "write_checkpoint", breaking)
        with pytest.raises(KeyboardInterrupt):
            ice.VAE(2, **{**SMALL, **changes}).fit(x, checkpoint=path)


def test_interrupted_training_resumes(
    plain: ice.VAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, _ = planted()
    path = tmp_path / "new" / "state"
    interrupted(x, path, monkeypatch)
    written = []
    original = vae_training.write_checkpoint
    monkeypatch.setattr(
        vae_training, "write_checkpoint", lambda *a: (written.append(a), original(*a))[1]
    )
    assert same(ice.VAE(2, **SMALL).fit(x, checkpoint=path), plain)
    assert len(written) == 1
    assert list(path.parent.iterdir()) == []


def test_checkpoint_of_another_training(
    plain: ice.VAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, _ = planted()
    path = tmp_path / "state"
    interrupted(x, path, monkeypatch)
    before = path.read_bytes()
    other = planted(seed=1)[0]
    for data, changes in [(x, {"seed": 1}), (x, {"beta": 0.1}), (x, {"epochs": 9}), (other, {})]:
        with pytest.raises(InputError, match=r"state: expected a checkpoint of .*, found one of"):
            ice.VAE(2, **{**SMALL, **changes}).fit(data, checkpoint=path)
    assert path.read_bytes() == before
    for content in (before[: len(before) // 2], before[:-300], b"nothing of the kind", b""):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"state: expected a checkpoint .* start again"):
            ice.VAE(2, **SMALL).fit(x, checkpoint=path)
        assert path.read_bytes() == content
    path.unlink()
    with path.open("wb") as file:
        np.savez(file, weights=np.zeros(3))
    with pytest.raises(InputError, match="expected a checkpoint of a training"):
        ice.VAE(2, **SMALL).fit(x, checkpoint=path)
    with pytest.raises(InputError, match="expected a checkpoint of a training"):
        ice.VAE(2, **SMALL).fit(x, checkpoint=tmp_path)
    with pytest.raises(InputError, match="in a folder that can be made"):
        ice.VAE(2, **SMALL).fit(x, checkpoint=path / "state")


def test_partial_checkpoints_of_killed_runs_are_removed(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(4, 30, 3))
    x = xr.Dataset({"features": (("frame", "atom", "feature"), rows)})
    half = tmp_path / "training[1].npz.123.new"
    half.write_bytes(b"half")
    ice.VAE(1, layers=(4,), epochs=1).fit(x, checkpoint=tmp_path / "training[1].npz")
    assert not list(tmp_path.iterdir())


def test_stored_and_loaded(plain: ice.VAE, tmp_path: Path) -> None:
    x, _ = planted()
    stored = plain.to_dataset()
    assert not [name for name, variable in stored.variables.items() if variable.dtype.kind == "O"]
    ice.save(plain, tmp_path / "s.zarr", label="code")
    loaded = ice.load_model(tmp_path / "s.zarr", "code")
    assert same(loaded, plain)
    assert loaded.best_epoch_ == plain.best_epoch_ and loaded.n_samples_ == plain.n_samples_
    np.testing.assert_array_equal(loaded.held_frames_, plain.held_frames_)
    first, second = plain.transform(x), loaded.transform(x)
    assert first.attrs["run_id"] == second.attrs["run_id"]
    assert first.attrs["parents"][0] == plain.record_.run_id
    np.testing.assert_array_equal(first["latent"], second["latent"])


def test_fit_transform_of_a_trajectory(tmp_path: Path) -> None:
    trj = ice.from_ase([system("orthogonal")] * 3)
    trj["positions"][:] += np.random.default_rng(0).normal(0, 0.2, trj["positions"].shape)
    order = ice.steinhardt(trj, r_cut=3.5)
    soap = ice.soap(trj, r_cut=3.5, n_max=2, l_max=2)
    x = ice.save(ice.combine(soap=soap, order=order), tmp_path / "s.zarr")
    vae = ice.VAE(2, **SMALL)
    latent = vae.fit_transform(x)
    assert latent["latent"].shape == (3, trj.sizes["atom"], 2)
    assert x.attrs["run_id"] in latent.attrs["lineage"]
    with pytest.raises(InputError, match="features as in the fit"):
        vae.transform(soap)
    swapped = ice.combine(soap=ice.soap(trj, r_cut=4.0, n_max=2, l_max=2), order=order)
    with pytest.raises(InputError, match="compute them with the same options"):
        vae.transform(swapped)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_size": 0}, "latent_size: expected at least 1"),
        ({"layers": 16}, r"layers: expected widths such as \(64, 32\), found 16"),
        ({"layers": (16, 0)}, "layers: expected at least 1"),
        ({"layers": (16.0,)}, "layers: expected a whole number"),
        ({"beta": -1.0}, "beta: expected at least 0"),
        ({"warm_up": -1}, "warm_up: expected at least 0"),
        ({"scaling": "row"}, "scaling: expected one of block, feature, found 'row'"),
        ({"block_weights": {"features": -1.0}}, "block_weights: features: expected at least 0"),
        ({"block_weights": {"features": "a"}}, "block_weights: features: expected a number"),
        (
            {"block_weights": 2.0},
            "block_weights: expected a mapping from names to float",
        ),
        ({"block_weights": {"soap": 1.0}}, "expected names of blocks, features, found soap"),
        ({"block_weights": {"features": 0.0}}, "expected features that vary"),
        ({"learning_rate": np.nan}, "learning_rate: expected a finite number"),
        ({"batch_size": 0}, "batch_size: expected at least 1"),
        ({"epochs": 0}, "epochs: expected at least 1"),
        ({"epoch_rows": 0}, "epoch_rows: expected at least 1"),
        ({"patience": 0}, "patience: expected at least 1"),
        ({"holdout": 1.0}, "holdout: expected less than 1, found 1"),
        ({"holdout": "all"}, "holdout: expected a number"),
        ({"seed": -1}, "seed: expected at least 0"),
    ],
)
def test_bad_parameters(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"VAE: .*{message}|VAE: {message}"):
        ice.VAE(**{"latent_size": 2, **SMALL, **changes}).fit(planted(4)[0])


def test_diverging_training_and_bad_rows() -> None:
    x, _ = planted(4)
    with pytest.raises(ComputeError, match=r"diverged in epoch \d of 3; .* smaller learning_rate"):
        fitted(x, learning_rate=1e14)
    with pytest.raises(InputError, match="squares add up to a number"):
        fitted(x.astype(np.float64) * 1e200)
    with pytest.raises(NotFittedError, match="call fit"):
        ice.VAE().transform(x)


def test_warning_of_unsaved_input(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    x, _ = planted(4)
    fitted(x, epochs=1)
    assert "passes over" not in caplog.text
    fitted(x.chunk({"frame": 1}), epochs=1)
    assert "VAE passes over its input many times" in caplog.text
