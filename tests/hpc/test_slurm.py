"""Jobs of a real SLURM: results, lost jobs, refusals, credentials, names."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from helpers.jobs import SMALL, attempts, cancel, queued, traced, wait_until

import icedask as ice
from icedask.errors import ComputeError, InputError
from icedask.hpc.cluster import clusters
from icedask.hpc.folders import connection
from icedask.store import chunks
from icedask.tasks import run as compute

pytestmark = pytest.mark.usefixtures("slurm")


@pytest.fixture
def small(mw: xr.Dataset, tmp_path: Path) -> Path:
    ice.save(ice.select(mw, "index 0:799"), tmp_path / "run.zarr")
    return tmp_path / "run.zarr"


def test_jobs_give_the_results_of_this_process(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "BLOCK_ATOM_FRAMES", 3200)
    trj = ice.open_trajectory(small)
    soap = ice.soap(trj, r_cut=4.0, n_max=3, l_max=3, sigma=0.5)
    with ice.connect("slurm", jobs=2, **SMALL) as client:
        there = ice.save(ice.PCA(3).fit_transform(soap), small)
        ids = list(client.jobs.status().index)
        assert len(ids) == 2
    assert [queued(job) for job in ids] == ["", ""]
    assert not len(clusters())
    monkeypatch.setattr(compute, "active_client", lambda *_: None)
    here = ice.PCA(3).fit_transform(soap)
    # The last bits depend on the number of threads, which may differ between the processes.
    np.testing.assert_allclose(here["latent"].values, there["latent"].values, atol=1e-4)


def test_a_cancelled_job_is_replaced(tmp_path: Path) -> None:
    with ice.connect("slurm", jobs=2, **SMALL) as client:
        client.wait_for_workers(2, timeout=60)
        futures = client.map(traced, range(20), seconds=0.3, folder=str(tmp_path))
        wait_until(lambda: attempts(tmp_path)[1] >= 4)
        first = client.jobs.status().index[0]
        cancel(first)
        assert client.gather(futures) == [n * n for n in range(20)]
        wait_until(lambda: (client.jobs.status()["workers"] == 1).sum() == 2)
        assert first not in client.jobs.status().index
        assert any(f"job {first} was lost" in event for event in client.jobs.events())


def test_all_jobs_killed_at_once(tmp_path: Path) -> None:
    with ice.connect("slurm", jobs=2, **SMALL) as client:
        client.wait_for_workers(2, timeout=60)
        held = client.map(traced, range(20), seconds=0.1, folder=str(tmp_path))
        client.gather(held)
        futures = client.map(traced, range(20, 60), seconds=0.3, folder=str(tmp_path))
        cancel(*client.jobs.status().index)
        assert client.gather([*held, *futures]) == [n * n for n in range(60)]


def test_work_longer_than_the_walltime(tmp_path: Path) -> None:
    """Three minutes of work for two workers in jobs of one minute."""
    settings = {**SMALL, "walltime": "00:01:00"}
    with ice.connect("slurm", jobs=2, **settings) as client:
        futures = client.map(traced, range(90), seconds=2.0, folder=str(tmp_path))
        held = client.map(traced, range(90, 100), seconds=0.01, folder=str(tmp_path))
        assert client.gather([*held, *futures]) == [n * n for n in [*range(90, 100), *range(90)]]
        events = client.jobs.events()
    begun, ended = attempts(tmp_path)
    # Finished tasks were not computed again; only tasks that ran when a job had to end.
    assert ended == 100
    assert begun - ended <= sum("still worked" in event for event in events)
    replaced = [event for event in events if "before its walltime" in event]
    assert len(replaced) >= 2
    assert not any("was lost" in event for event in events)


def test_adapts_from_zero_and_back(tmp_path: Path) -> None:
    with ice.connect("slurm", jobs=(0, 2), idle="2 s", **SMALL) as client:
        assert not len(client.jobs.status())
        futures = client.map(traced, range(300), seconds=0.4, folder=str(tmp_path))
        wait_until(lambda: (client.jobs.status()["workers"] == 1).sum() == 2, 90)
        client.gather(futures)
        del futures
        wait_until(lambda: not len(client.jobs.status()))
        assert client.submit(traced, 7, 0.0, str(tmp_path)).result() == 49


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"queue": "nowhere"}, "sbatch refused the job: .*invalid partition"),
        ({"memory": "900GiB"}, "no node of its queue has .*: 1 cores, 922100 MB"),
        ({"cores": 99}, "no node of its queue has .*: 99 cores, .*; the nodes have 8 cores"),
    ],
)
def test_refused_jobs(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ComputeError, match=message):
        ice.connect("slurm", jobs=1, **{**SMALL, **setting})
    assert not len(clusters())


def test_refusal_after_the_start() -> None:
    with ice.connect("slurm", jobs=(0, 1), queue="nowhere", **SMALL) as client:
        future = client.submit(sum, [1, 2])
        wait_until(lambda: client.failure is not None, 30)
        with pytest.raises(ComputeError, match="invalid partition"):
            client.check()
        future.cancel()
        # A later client gets the message, too.
        with (
            ice.connect(client.jobs.folder.name, set_as_default=False) as late,
            pytest.raises(ComputeError, match="invalid partition"),
        ):
            late.check()


def test_jobs_that_die_at_their_start(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trj = ice.open_trajectory(small)
    with (
        ice.connect("slurm", jobs=1, python="/nowhere/python", **SMALL),
        pytest.raises(ComputeError, match=r"died at their start(.|\n)*/nowhere/python"),
    ):
        ice.save(ice.coordination(trj, r_cut=3.5), small)


def test_a_client_without_the_credentials_is_refused(tmp_path: Path) -> None:
    from distributed import Client
    from distributed.security import Security

    with ice.connect("slurm", jobs=1, **SMALL) as client:
        client.wait_for_workers(1, timeout=60)
        address = client.scheduler.address
        assert address.startswith("tls://")
        assert all(a.startswith("tls://") for a in client.scheduler_info(n_workers=-1)["workers"])
        plain = address.replace("tls://", "tcp://")
        for where, security in ((plain, None), (address, Security.temporary())):
            with pytest.raises((OSError, TypeError)):
                Client(where, security=security, timeout=3, set_as_default=False)
        folder = client.jobs.folder
        for path in (folder, folder.parent, folder.parent.parent):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        for name in ("ca.pem", "key.pem", "scheduler.json"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        assert set(client.run(os.getenv, "MALLOC_TRIM_THRESHOLD_").values()) == {str(2**27)}
        assert set(client.run(_pages).values()) == {0}
    assert not (folder / "key.pem").exists()


def _pages(dask_worker: Any) -> int:
    """Return the number of ports with pages."""
    return sum(sock.fileno() >= 0 for sock in dask_worker.http_server._sockets.values())


def test_connect_again_to_a_cluster_with_a_name(tmp_path: Path) -> None:
    first = ice.connect("slurm", name="mine", jobs=1, **SMALL)
    try:
        first.wait_for_workers(1, timeout=60)
        future = first.submit(traced, 5, 0.0, str(tmp_path), key="five")
        future.result()
        first.publish_dataset(future, name="five")
        address = first.scheduler.address
        first.close()
        # After a restart of the kernel: the same call, or the name alone.
        with ice.connect("slurm", name="mine") as second:
            assert second.scheduler.address == address
            assert second.get_dataset("five").result() == 25
            second.jobs.scale(2)
            wait_until(lambda: len(second.jobs.status()) == 2)
        with ice.connect("slurm", name="mine", jobs=(0, 1)) as third:
            assert tuple(third.jobs.ask("status")["limits"]) == (0, 1)
        with pytest.raises(InputError, match="'mine', which runs with the profile 'slurm'"):
            ice.connect("pbs", name="mine")
        assert list(clusters().index) == ["mine"]
    finally:
        with ice.connect("mine") as last:
            last.jobs.close()
    assert not len(clusters())


def test_one_name_is_one_cluster() -> None:
    """Two processes start it at once; it starts again after its scheduler was killed."""
    script = (
        "import icedask as ice\n"
        f"client = ice.connect('slurm', name='mine', jobs=(0, 1), **{SMALL!r})\n"
        "print(client.scheduler.address)\n"
        "client.close()\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    addresses = [child.communicate(timeout=120)[0].strip() for child in both]
    assert addresses[0] == addresses[1] != ""
    (pid,) = [connection(folder)["pid"] for folder in _folders()]  # type: ignore[index]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not clusters()["alive"].any())
    with pytest.raises(ComputeError, match="its scheduler was killed; start it again"):
        ice.connect("mine")
    with ice.connect("slurm", name="mine", jobs=(0, 1), **SMALL) as client:
        assert client.scheduler.address != addresses[0]
        client.jobs.close()
    assert not len(clusters())


def _folders() -> list[Path]:
    return [path.parent for path in Path(os.environ["ICEDASK_HOME"]).glob("*/*/scheduler.json")]


@pytest.mark.parametrize("name", ["slurm", "local"])
def test_names_of_profiles_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected one that no profile has"):
        ice.connect("slurm", name=name, **SMALL)


def test_modes_and_paths_of_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "given"
    home.mkdir()
    home.chmod(0o775)
    monkeypatch.setenv("ICEDASK_HOME", str(home))
    with ice.connect("slurm", jobs=(0, 1), **SMALL) as client:
        folder = client.jobs.folder
        modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
        assert modes == {0o600}
    assert stat.S_IMODE(home.stat().st_mode) == 0o775
    for bad in ("/dev/null", str(tmp_path / "with\nbreak")):
        monkeypatch.setenv("ICEDASK_HOME", bad)
        with pytest.raises(InputError, match="set ICEDASK_HOME"):
            ice.connect("slurm", jobs=(0, 1), **SMALL)


def test_the_cluster_ends_when_its_client_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time, icedask as ice\n"
        f"client = ice.connect('slurm', jobs=1, **{SMALL!r})\n"
        "client.wait_for_workers(1)\n"
        "print(client.jobs.status().index[0], flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        job = child.stdout.readline().strip()
        child.send_signal(signal.SIGKILL)
    assert re.fullmatch(r"\d+", job)
    wait_until(lambda: not queued(job) and not len(clusters()))
