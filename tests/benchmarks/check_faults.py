"""Fault matrix of stores: kills, full disks, moves and other users, then the same command again.

python tests/benchmarks/check_faults.py [case ...]      (default: all; needs Linux)

Commands run in processes of their own. After each fault the same command is repeated, and the store
is compared, byte by byte but for time stamps, with that of a run that nothing interrupted. As root,
disks are small ones that are mounted, and the other user is number 65534; else a limit on the size
of files takes the place of the disk, and the cases of other users are left out.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers.killing import contents, run

OTHER_UID = 65534
N_FRAMES, N_ATOMS = 60, 40
SOAP = {"r_cut": 3.0, "n_max": 2, "l_max": 1}
SLOW_SECONDS = 0.03


# What the child processes do.


def small_blocks(seconds: float = 0.0) -> None:
    """Plan blocks of two frames, each written with a pause."""
    from icedask.store import blocks, chunks, trajectory

    trajectory.TRAJECTORY_ATOM_FRAMES = chunks.BLOCK_ATOM_FRAMES = 2 * N_ATOMS
    for module in (blocks, trajectory):
        write = module.write_region

        def pausing(*args: object, write: Callable[..., None] = write) -> None:
            time.sleep(seconds)
            write(*args)

        if seconds:
            module.write_region = pausing


def ingest(source: Path, store: Path) -> None:
    """Ingest the source."""
    import icedask as ice

    small_blocks(SLOW_SECONDS * float(os.environ.get("SLOW", 0)))
    ice.ingest(source, store, units="metal", timestep=0.001, elements={"1": "O", "2": "H"})


def describe(source: Path, store: Path) -> None:
    """Compute SOAP, and a PCA of it, on the cluster in the environment, else here."""
    import icedask as ice

    place = os.environ.get("PLACE", "")
    small_blocks(SLOW_SECONDS * float(os.environ.get("SLOW", 0)))
    if place == "local":
        ice.connect("local", n_workers=2, memory_limit="2GB")
    elif place:
        ice.connect(place)
    trj = ice.open_trajectory(store)
    soap = ice.save(ice.soap(trj, **SOAP), store, label="soap")
    ice.save(ice.PCA(2).fit(soap), store, label="pca")


def remove(source: Path, store: Path) -> None:
    """Remove the PCA."""
    import icedask as ice

    with suppress(ice.NotFoundError):
        ice.remove_run(store, "pca")


def look(source: Path, store: Path) -> None:
    """Read everything, repeat a finished run, and try to save a new one."""
    import icedask as ice

    small_blocks()
    ice.open_trajectory(store).load()
    for label in ("soap", "pca"):
        ice.open_run(store, label).load()
    ice.load_model(store, "pca")
    assert ice.verify(store).damage == {}
    assert len(ice.list_runs(store)) == 2
    ice.save(ice.soap(ice.open_trajectory(store), **SOAP), store, label="soap")
    try:
        ice.save(ice.lens(ice.open_trajectory(store), r_cut=3.0, delay=1), store)
    except ice.StoreError as error:
        assert "cannot be written to" in str(error), error
    else:
        assert os.geteuid() == 0, "wrote to a store that is not to be written to"


ACTIONS = {action.__name__: action for action in (ingest, describe, remove, look)}


# What this process does.


class Matrix:
    """Stores of the faults in one folder, beside an uninterrupted one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "run.dump"
        write_dump(self.source)
        self.number = 0
        self.ingested = self.make("ingested", ingest)
        self.whole = folder / "whole" / "run.zarr"
        shutil.copytree(self.ingested, self.whole)
        self.call(describe, self.whole)
        self.removed = folder / "removed" / "run.zarr"
        shutil.copytree(self.whole, self.removed)
        self.call(remove, self.removed)

    def make(self, name: str, action: Callable[..., None]) -> Path:
        """Return the store that an action makes."""
        (self.folder / name).mkdir()
        self.call(action, self.folder / name / "run.zarr")
        return self.folder / name / "run.zarr"

    def fresh(self, start: Path | None = None) -> Path:
        """Return the path of a store, a copy of another one or none yet."""
        self.number += 1
        store = self.folder / f"case-{self.number}" / "run.zarr"
        store.parent.mkdir()
        if start is not None:
            shutil.copytree(start, store)
        return store

    def begin(self, action: Callable[..., None], store: Path, **env: str) -> subprocess.Popen[str]:
        """Start an action in a process."""
        command = [sys.executable, __file__, "--child", action.__name__]
        return subprocess.Popen(
            [*command, str(self.source), str(store)],
            env={**os.environ, **env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, action: Callable[..., None], store: Path, **env: str) -> str:
        """Run an action to its end; return its messages, raise if it failed."""
        code, messages = end(self.begin(action, store, **env))
        if code:
            raise AssertionError(f"{action.__name__}: exit status {code}: {messages[-600:]}")
        return messages

    def compare(self, store: Path, whole: Path) -> str:
        """Return "equal", or what differs."""
        actual, expected = contents(store), contents(whole)
        names = {*actual, *expected}
        differing = sorted(name for name in names if actual.get(name) != expected.get(name))
        return f"{len(differing)} differ: {differing[:3]}" if differing else "equal"


def write_dump(path: Path) -> None:
    """Write the source, a LAMMPS dump of random atoms."""
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for step in range(0, 100 * N_FRAMES, 100):
            file.write(f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{N_ATOMS}\n")
            file.write("ITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\nITEM: ATOMS id type x y z vx\n")
            for atom, row in enumerate(rng.random((N_ATOMS, 4)) * 9, start=1):
                file.write(f"{atom} {1 + atom % 2} " + " ".join(f"{v:.4f}" for v in row) + "\n")


def end(process: subprocess.Popen[str], seconds: float = 240) -> tuple[int, str]:
    """Return exit status and messages of a process."""
    try:
        messages = process.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(f"it hangs: no end after {seconds:g} s") from None
    return process.returncode, messages


def wait_for_blocks(store: Path, pattern: str, number: int, process: subprocess.Popen[str]) -> None:
    """Wait until files are on disk."""
    begun = time.monotonic()
    while sum(1 for _ in store.glob(pattern)) < number:
        if process.poll() is not None or time.monotonic() - begun > 120:
            raise AssertionError(f"ended before the fault: {end(process)[1][-600:]}")
        time.sleep(0.01)


TRAJECTORY_BLOCKS = "trajectory/positions/c/*/0/0"
SOAP_BLOCKS = "descriptors/soap/*/soap/c/*/0/0"


def signalled(kind: signal.Signals, action: Callable[..., None]) -> Callable[[Matrix], str]:
    """Return the case of a client that gets a signal after 2, 10 and 25 blocks."""

    def case(matrix: Matrix) -> str:
        is_ingest = action is ingest
        whole = matrix.ingested if is_ingest else matrix.whole
        blocks = TRAJECTORY_BLOCKS if is_ingest else SOAP_BLOCKS
        results = []
        for number in (2, 10, 25):
            store = matrix.fresh(None if is_ingest else matrix.ingested)
            process = matrix.begin(action, store, SLOW="1")
            wait_for_blocks(store, blocks, number, process)
            process.send_signal(kind)
            code, _ = end(process)
            assert code != 0, "it did not end"
            matrix.call(action, store)
            results.append(matrix.compare(store, whole))
        return summary(results)

    return case


def at_many_points(
    action: Callable[..., None], points: int, start: str, goal: str
) -> Callable[[Matrix], str]:
    """Return the case of an action killed at its n-th change of files, for many n."""

    def case(matrix: Matrix) -> str:
        begin = getattr(matrix, start) if start else None
        _, changes = run(action, matrix.source, matrix.fresh(begin))
        results = []
        for moment in sorted({1 + i * (changes - 1) // (points - 1) for i in range(points)}):
            store = matrix.fresh(begin)
            code, _ = run(action, matrix.source, store, kill_at=moment)
            assert code == -signal.SIGKILL
            code, _ = run(action, matrix.source, store)
            results.append(matrix.compare(store, getattr(matrix, goal)) if code == 0 else "failed")
        return summary(results)

    return case


def children_of(pid: int) -> list[int]:
    """Return the ids of all processes below one, the deepest last."""
    processes = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            processes += [child, *children_of(child)]
    return processes


def workers_of(pid: int) -> list[int]:
    """Return the ids of the workers of a client: processes that dask's nannies have spawned."""
    workers = []
    for child in children_of(pid):
        with suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                workers.append(child)
    return workers


def lost_workers(kind: signal.Signals, number: int) -> Callable[[Matrix], str]:
    """Return the case of local workers that get a signal; the client goes on, or is repeated."""

    def case(matrix: Matrix) -> str:
        store = matrix.fresh(matrix.ingested)
        process = matrix.begin(describe, store, SLOW="1", PLACE="local")
        wait_for_blocks(store, SOAP_BLOCKS, 3, process)
        workers = workers_of(process.pid)
        for worker in workers[:number]:
            with suppress(ProcessLookupError):
                os.kill(worker, kind)
        code, messages = end(process, 420)
        if code:
            matrix.call(describe, store, PLACE="local")
        ended = "went on" if code == 0 else f"ended: {messages.splitlines()[-1][:80]}"
        chosen = f"{min(number, len(workers))} of {len(workers)} workers"
        return f"{matrix.compare(store, matrix.whole)} ({chosen}; {ended})"

    return case


def lost_scheduler(matrix: Matrix) -> str:
    """Kill the scheduler of a cluster with one worker."""
    store, file = matrix.fresh(matrix.ingested), matrix.folder / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen([*command, *options, str(file)], **quiet)
    while not file.exists():
        time.sleep(0.1)
    import json

    address = json.loads(file.read_text())["address"]
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"]
    worker = subprocess.Popen([*command, "--death-timeout", "5"], **quiet)
    try:
        process = matrix.begin(describe, store, SLOW="1", PLACE=address)
        wait_for_blocks(store, SOAP_BLOCKS, 2, process)
        scheduler.kill()
        code, messages = end(process, 300)
        assert code != 0
        matrix.call(describe, store)
        return f"{matrix.compare(store, matrix.whole)} ({messages.splitlines()[-1][:80]})"
    finally:
        for started in (scheduler, worker):
            started.kill()
            started.wait()


def full_disk(matrix: Matrix) -> str:
    """Fill the disk at several sizes, then free space."""
    results = []
    bytes_needed = sum(f.stat().st_size for f in matrix.whole.rglob("*") if f.is_file())
    base = sum(f.stat().st_size for f in matrix.ingested.rglob("*") if f.is_file())
    for share in (0.1, 0.5, 0.9):
        store = matrix.fresh()
        disk = store.parent
        blocks = int(2.5 * (base + share * (bytes_needed - base)) / 4096) + 400
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={blocks * 4096}", "tmpfs", str(disk)], check=True
        )
        try:
            shutil.copytree(matrix.ingested, store)
            filler = disk / "filler"
            free = os.statvfs(disk).f_bavail * 4096
            filler.write_bytes(bytes(max(free - int(share * 40 * 4096) - 8192, 0)))
            code, messages = end(matrix.begin(describe, store))
            assert code and "the disk is full" in messages, messages[-500:]
            filler.unlink()
            subprocess.run(["mount", "-o", "remount,size=64M", str(disk)], check=True)
            matrix.call(describe, store)
            results.append(matrix.compare(store, matrix.whole))
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    return summary(results)


def two_writers(matrix: Matrix) -> str:
    """Start the same command twice."""
    store = matrix.fresh(matrix.ingested)
    first = matrix.begin(describe, store, SLOW="30")
    wait_for_blocks(store, SOAP_BLOCKS, 2, first)
    code, messages = end(matrix.begin(describe, store))
    assert code and "another process is writing to this store" in messages, messages[-300:]
    code, messages = end(first)
    assert code == 0, messages
    matrix.call(describe, store)
    return matrix.compare(store, matrix.whole)


def moved(matrix: Matrix) -> str:
    """Move a store of a killed run."""
    store = matrix.fresh(matrix.ingested)
    process = matrix.begin(describe, store, SLOW="1")
    wait_for_blocks(store, SOAP_BLOCKS, 5, process)
    process.kill()
    end(process)
    elsewhere = store.with_name("other place.zarr")
    store.rename(elsewhere)
    matrix.call(describe, elsewhere)
    return matrix.compare(elsewhere, matrix.whole)


def copied(matrix: Matrix) -> str:
    """Copy a store at five moments while it is written, and continue the copies."""
    results, copies = [], []
    for action, start, blocks, whole in (
        (ingest, None, TRAJECTORY_BLOCKS, matrix.ingested),
        (describe, matrix.ingested, SOAP_BLOCKS, matrix.whole),
    ):
        store = matrix.fresh(start)
        process = matrix.begin(action, store, SLOW="1")
        for number in (1, 5, 9, 17, 25):
            wait_for_blocks(store, blocks, number, process)
            copy = matrix.fresh()
            # cp tells of files that were renamed while it looked.
            subprocess.run(
                ["cp", "-a", str(store), str(copy)], stderr=subprocess.DEVNULL, check=False
            )
            copies.append((copy, action, whole))
        assert end(process)[0] == 0
        results.append(matrix.compare(store, whole))
    for copy, action, whole in copies:
        matrix.call(action, copy)
        results.append(matrix.compare(copy, whole))
    return summary(results)


def as_another_user(matrix: Matrix, *, read_only: bool) -> str:
    """Let another user read, repeat finished runs, and try to write."""
    if os.geteuid() != 0:
        return "left out: not root"
    store = matrix.fresh(matrix.whole)
    before = contents(store)
    for path in (store, *store.rglob("*")):
        path.chmod((0o555 if read_only else 0o755) if path.is_dir() else 0o444)
    code, messages = end(matrix.begin(look, store, OTHER_USER=str(matrix.fresh(matrix.whole))))
    assert code == 0, messages[-800:]
    return "equal" if contents(store) == before else "changed"


def hash_seeds(matrix: Matrix) -> str:
    """Repeat all under other orders of sets."""
    results = []
    for seed in ("0", "1", "12345"):
        store = matrix.fresh()
        matrix.call(ingest, store, PYTHONHASHSEED=seed)
        matrix.call(describe, store, PYTHONHASHSEED=seed)
        results.append(matrix.compare(store, matrix.whole))
    return summary(results)


def summary(results: Sequence[str]) -> str:
    """Return how many of the stores are equal, and what the others are."""
    wrong = [result for result in results if result != "equal"]
    return f"equal ({len(results)} of {len(results)})" if not wrong else "; ".join(wrong)


CASES: dict[str, Callable[[Matrix], str]] = {
    "hash seeds": hash_seeds,
    "SIGKILL of ingest": signalled(signal.SIGKILL, ingest),
    "SIGKILL of save": signalled(signal.SIGKILL, describe),
    "SIGTERM of ingest": signalled(signal.SIGTERM, ingest),
    "SIGTERM of save": signalled(signal.SIGTERM, describe),
    "ingest killed, 20 points": at_many_points(ingest, 20, "", "ingested"),
    "remove killed, 20 points": at_many_points(remove, 20, "whole", "removed"),
    "one worker killed": lost_workers(signal.SIGKILL, 1),
    "one worker ended": lost_workers(signal.SIGTERM, 1),
    "all workers killed": lost_workers(signal.SIGKILL, 99),
    "scheduler killed": lost_scheduler,
    "disk full": full_disk,
    "two writers": two_writers,
    "moved between two saves": moved,
    "copied while written": copied,
    "another user": lambda matrix: as_another_user(matrix, read_only=False),
    "read-only": lambda matrix: as_another_user(matrix, read_only=True),
}


def main() -> None:
    """Run the cases and print the table."""
    chosen = sys.argv[1:] or list(CASES)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        matrix = Matrix(Path(name))
        for case in chosen:
            begun = time.monotonic()
            try:
                result = CASES[case](matrix)
            except AssertionError as error:
                result = f"FAILED: {error}"
            print(f"{case:26s} {time.monotonic() - begun:6.1f} s  {result}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        if other := os.environ.get("OTHER_USER"):
            # Modules and compiled kernels are loaded before the user changes.
            look(Path(sys.argv[3]), Path(other))
            os.setgid(OTHER_UID)
            os.setuid(OTHER_UID)
        ACTIONS[sys.argv[2]](Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
