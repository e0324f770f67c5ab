"""Peak memory of SOAP -> PCA -> labels for 100,000 atoms, two workers of 2 GB each.

python tests/benchmarks/bench_memory.py [n_frames ...]      (default: 20 40)

The peaks are the high-water marks of the resident memory of each worker and of the client, in
fresh processes for each number of frames; they must not grow with it.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.io.extxyz import write_extxyz

import icedask as ice

N_SIDE = 23  # 8 * 23**3 = 97,336 oxygens of cubic ice


def peak_mb() -> float:
    """Return the high-water mark of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_frames(path: Path, n_frames: int) -> None:
    """Write rattled ice, frame by frame."""
    ideal = bulk("O", "diamond", a=6.37, cubic=True).repeat(N_SIDE)
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for _ in range(n_frames):
            atoms = ideal.copy()
            atoms.positions += rng.normal(0, 0.15, atoms.positions.shape)
            write_extxyz(file, atoms)


def analyse(folder: Path, source: Path) -> None:
    """Run the chain and print times and peaks."""
    start = time.time()
    with ice.connect("local", n_workers=2, memory_limit="2GB", local_directory=folder) as client:
        store = folder / "run.zarr"
        trj = ice.ingest(source, store, frame_interval=1.0)
        soap = ice.soap(trj, r_cut=6.0, n_max=8, l_max=8, sigma=0.5)
        pca = ice.PCA(5).fit(soap)
        latent = ice.save(pca.transform(soap), store)
        clusters = ice.HDBSCAN(50, min_samples=10, sample_size=20_000).fit(latent)
        states = ice.save(clusters.predict(latent), store)
        workers = sorted(client.run(peak_mb).values())
    sizes = f"{trj.sizes['frame']} frames of {trj.sizes['atom']} atoms"
    shown = ", ".join(f"{peak:.0f}" for peak in workers)
    print(
        f"{sizes}: {time.time() - start:.0f} s, {pca.n_samples_} rows, "
        f"labels {states['label'].shape}, peak MB: workers {shown}; client {peak_mb():.0f}",
        flush=True,
    )


def main() -> None:
    """Run each size in processes of its own."""
    for n_frames in [int(word) for word in sys.argv[1:]] or [20, 40]:
        with tempfile.TemporaryDirectory() as name:
            source = Path(name) / "ice.extxyz"
            context = multiprocessing.get_context("spawn")
            # Written in another process, whose memory is not the client's.
            for function, arguments in (
                (write_frames, (source, n_frames)),
                (analyse, (Path(name), source)),
            ):
                process = context.Process(target=function, args=arguments)
                process.start()
                process.join()
                if process.exitcode:
                    sys.exit(f"{function.__name__} failed")


if __name__ == "__main__":
    main()
