"""How right the phases of simulated crystals and liquids are: every molecule of every frame.

python tests/benchmarks/check_phases_accuracy.py FOLDER [WEIGHTS.npz ...]

FOLDER holds stores of `icedask simulate ice-phases` (and `metals`): their labels say the phase. The
shipped weights, and those in the files, each with every metric; positions as they are, too.
Writes results/phases_accuracy.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import pandas as pd

import icedask as ice

RESULTS = Path(__file__).parent / "results"
METRICS = ("mahalanobis", "euclidean", "cosine")


def stores(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the phase and the path of each store."""
    for path in sorted(folder.rglob("*.zarr")):
        if (path / "trajectory").exists():
            yield ice.open_trajectory(path).attrs["labels"]["phase"], path


def classified(
    paths: list[tuple[str, Path]], denoiser: ice.Denoiser | None, phases: ice.Phases
) -> pd.DataFrame:
    """Return counts of labels by metric, true phase, threshold and label."""
    metal = "fcc" in phases
    options = {"sigma": 0.5} if metal else {}

    def fit(phases: ice.Phases, denoiser: ice.Denoiser | None) -> dict[str, ice.PhaseClassifier]:
        return {
            metric: ice.PhaseClassifier(metric=metric, **options).fit(phases, denoiser)
            for metric in METRICS
        }

    fitted = fit(phases, denoiser)
    rows, scores = [], {metric: [] for metric in METRICS}
    for phase, path in paths:
        trj = ice.open_trajectory(path)
        if metal:
            here = phases.scaled(1.0, str(trj["element"].values[0]))
            factor = here.scale_to(trj)
            here = here.scaled(factor)
            scaled = None if denoiser is None else denoiser.scaled(factor, here.element)
            fitted = fit(here, scaled)
        else:
            scaled = denoiser
        x = trj if scaled is None else scaled.denoise(trj)
        wanted = [fitted[metric].compare(x) for metric in METRICS]
        for metric, compared in zip(METRICS, dask.compute(*wanted), strict=True):
            scores[metric].append((phase, compared, fitted[metric]))
    for metric, results in scores.items():
        classifier = results[0][2]
        # As published: of the crystals that are known, and of water.
        usual = [compared for phase, compared, _ in results if phase in phases or phase == "water"]
        values = np.concatenate([compared["score"].values.ravel() for compared in usual])
        thresholds = {"calibrated": classifier.threshold_, "valley": pooled(values, classifier)}
        for kind, threshold in thresholds.items():
            for phase, compared, fitted_here in results:
                # Metals have classifiers of their own, each with its boundary.
                own = fitted_here.threshold_ if kind == "calibrated" else threshold
                label = labels(compared, own, fitted_here)
                row = dict(zip(classifier.classes_, label, strict=True))
                nearest = np.nan
                if phase in phases:
                    nearest = float((compared["nearest"] == phases.names.index(phase)).mean())
                rows.append(
                    {"metric": metric, "threshold": kind, "value": threshold, "phase": phase}
                    | {"nearest": nearest}
                    | row
                )
    return pd.DataFrame(rows)


def pooled(values: np.ndarray, classifier: ice.PhaseClassifier) -> float:
    """Return the valley of the scores of several trajectories together."""
    from icedask.phases.threshold import bin_edges, count_scores, minimum_between_modes

    nearest = np.zeros(len(values), np.int32)
    counts = count_scores(values, nearest, 1)[0]
    minimum = minimum_between_modes(counts, bin_edges(), classifier.threshold_)
    return classifier.threshold_ if np.isnan(minimum) else minimum


def labels(compared, threshold: float, classifier: ice.PhaseClassifier) -> np.ndarray:
    """Return the counts of the labels of a trajectory."""
    label = classifier.label(compared, threshold=threshold)["label"].values
    return np.bincount(label.ravel(), minlength=len(classifier.classes_))


def table(title: str, accuracy: pd.DataFrame, phases: ice.Phases) -> list[str]:
    """Return a section of the report: right labels of each true phase, in per cent."""
    lines = [f"## {title}", ""]
    names = list(accuracy["phase"].unique())
    lines += [
        f"| metric | threshold | value | {' | '.join(names)} |",
        "|" + "---|" * (3 + len(names)),
    ]
    for (metric, kind), rows in accuracy.groupby(["metric", "threshold"], sort=False):
        cells = []
        for _, row in rows.iterrows():
            counts = row[[*phases.names, "liquid", "unknown"]].astype(float)
            of_none = counts["liquid"] + counts["unknown"]
            truth = {"water": counts["liquid"]}.get(row["phase"], of_none)
            right = counts[row["phase"]] if row["phase"] in phases else truth
            cells.append(f"{100 * right / counts.sum():.3f}")
        lines.append(f"| {metric} | {kind} | {rows['value'].iloc[0]:.3g} | {' | '.join(cells)} |")
    known = accuracy[accuracy["phase"].isin(phases.names) & (accuracy["threshold"] == "calibrated")]
    for metric, rows in known.groupby("metric", sort=False):
        lines.append(
            f"\nnearest phase right, {metric}: "
            + ", ".join(f"{row['phase']} {100 * row['nearest']:.3f}" for _, row in rows.iterrows())
        )
    return [*lines, ""]


def main() -> None:
    """Write the report."""
    paths = list(stores(Path(sys.argv[1])))
    molecules = {phase: ice.open_trajectory(path).sizes for phase, path in paths}
    water = "water" in molecules or "Ih" in molecules
    shipped = ice.Denoiser.shipped("ices" if water else "metals")
    lines = [
        "# Accuracy of phases",
        "",
        "Per cent of the molecules of all frames with the right label; of a phase that is not "
        "among the references, liquid or unknown is right. No trajectory was used in training or "
        "in choosing anything.",
        "",
        ", ".join(
            f"{phase} {sizes['atom']} atoms x {sizes['frame']} frames"
            for phase, sizes in molecules.items()
        ),
        "",
    ]
    denoisers = {"positions as they are": None, "shipped weights": shipped}
    denoisers |= {Path(name).name: ice.Denoiser.load(name) for name in sys.argv[2:]}
    for title, denoiser in denoisers.items():
        accuracy = classified(paths, denoiser, shipped.phases_)
        lines += table(title, accuracy, shipped.phases_)
        print("\n".join(lines[-14:]), flush=True)
    name = "phases_accuracy" if water else "phases_accuracy_metals"
    (RESULTS / f"{name}.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
