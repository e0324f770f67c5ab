"""How well motifs keep phases apart that are known: fitted on some trajectories, read off others.

Two folders of stores with the same names, one phase each, such as `icedask simulate ice-phases`
makes with two seeds. Nothing of the second is used in fitting; the names of the phases are used
for the scores alone.

    python tests/benchmarks/check_motifs.py FITTED HELD_OUT --seeds 3
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from sklearn.metrics import adjusted_rand_score

import icedask as ice
from icedask.workflows.motifs import WEIGHTS, Settings, descriptors

RESULTS = Path(__file__).parent / "results"
_APART = ("Ih", "Ic", "water")


def features_of(folder: Path, names: list[str], pca: ice.PCA | None) -> tuple[xr.Dataset, ice.PCA]:
    """Return the features of all phases side by side along the atoms, as the workflow has them."""
    sites = [
        ice.select(ice.open_trajectory(folder / f"{name}.zarr"), "element O") for name in names
    ]
    n_frames = min(site.sizes["frame"] for site in sites)
    parts = [descriptors(site.isel(frame=slice(n_frames))) for site in sites]
    structure = _joined([part["soap"] for part in parts])
    pca = ice.PCA(Settings().variance).fit(structure) if pca is None else pca
    blocks = {name: _joined([part[name] for part in parts]) for name in list(parts[0])[1:]}
    x = ice.combine(soap=pca.transform(structure).compute(), **blocks)
    phase = np.concatenate([np.full(site.sizes["atom"], k) for k, site in enumerate(sites)])
    return x.compute().assign_coords(phase=("atom", phase)), pca


def _joined(parts: list[xr.Dataset]) -> xr.Dataset:
    arrays = [next(iter(part.data_vars.values())) for part in parts]
    values = np.concatenate([array.values for array in arrays], axis=1)
    return xr.Dataset({"features": (("frame", "atom", "feature"), values.astype(np.float32))})


def labels_of(space: xr.Dataset, other: xr.Dataset, seed: int, size: int) -> tuple[np.ndarray, int]:
    """Return the labels of the held-out rows by the motifs of the others."""
    umap = ice.UMAP(sample_size=size, seed=seed).fit(space)
    motifs = ice.Motifs(seed=seed).fit(space, umap)
    return motifs.predict(other)["label"].values, motifs.n_motifs_


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fitted", type=Path)
    parser.add_argument("held_out", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--sample-size", type=int, default=15_000)
    args = parser.parse_args()
    names = sorted(store.stem for store in args.fitted.glob("*.zarr"))
    x, pca = features_of(args.fitted, names, None)
    other, _ = features_of(args.held_out, names, pca)
    phase = np.broadcast_to(other["phase"].values, other["features"].shape[:2]).ravel()
    rows = []
    for seed in range(args.seeds):
        vae = ice.VAE(block_weights=WEIGHTS, seed=seed).fit(x)
        spaces = {"autoencoder": (vae.transform(x).compute(), vae.transform(other).compute())}
        if seed == 0:
            scaled = [
                ((dataset["features"] - vae.center_) * vae.scale_).astype(np.float32)
                for dataset in (x, other)
            ]
            few = ice.PCA(8).fit(xr.Dataset({"features": scaled[0]}))
            spaces |= {
                "pca": tuple(
                    few.transform(xr.Dataset({"features": rows})).compute() for rows in scaled
                ),
                "features": tuple(xr.Dataset({"features": rows}) for rows in scaled),
            }
            for block in ("soap", "bonds", "averaged", "shell"):
                mine = x["block"].values == block
                spaces[block] = tuple(xr.Dataset({"features": rows[:, :, mine]}) for rows in scaled)
        for name, (fitted, held) in spaces.items():
            label, n = labels_of(fitted, held, seed, args.sample_size)
            label = label.ravel()
            own = [
                np.bincount(label[phase == names.index(crystal)] + 1).argmax() - 1
                for crystal in _APART
            ]
            rows.append(
                {
                    "space": name,
                    "seed": seed,
                    "motifs": n,
                    "ARI": adjusted_rand_score(phase, label),
                    "in none": float(np.mean(label < 0)),
                    "apart": len({*own, -1}) == len(own) + 1,
                }
            )
            print(rows[-1], flush=True)
    text = table(rows, names)
    print(text)
    (RESULTS / "motifs_accuracy.md").write_text(text)


def table(rows: list[dict[str, Any]], names: list[str]) -> str:
    """Return the results as Markdown."""
    lines = [
        "Motifs of nine trajectories of TIP4P/Ice, one phase each "
        f"({', '.join(names)}), read off nine others: adjusted Rand index with the phases. "
        "`python tests/benchmarks/check_motifs.py`.",
        "",
        "| map of | seed | motifs | ARI | in none | Ih, Ic and water apart |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        apart = "yes" if row["apart"] else "no"
        numbers = f"{row['seed']} | {row['motifs']} | {row['ARI']:.3f} | {row['in none']:.4f}"
        lines.append(f"| {row['space']} | {numbers} | {apart} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
