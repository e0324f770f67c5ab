"""Train the shipped denoisers on ideal crystals: some minutes of one core each.

    python make_denoisers.py folder

Prints the digest of each; the README beside has those of the shipped files. Another processor or
another version of torch may round differently, and give other weights that serve as well.
"""

import sys
from pathlib import Path

from icedask.phases.denoiser import Denoiser
from icedask.phases.references import Phases

PHASES = {"ices": Phases.ices, "metals": Phases.metals}


def main(folder: str) -> None:
    """Write one file for each set of phases."""
    for name, phases in PHASES.items():
        path = Path(folder) / f"denoiser_{name}.npz"
        fitted = Denoiser().fit(phases(), checkpoint=path.with_suffix(".checkpoint"))
        fitted.save(path)
        last = float(fitted.loss_[-200:].mean())
        print(f"{path}: digest {fitted.digest_}, loss {last:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
