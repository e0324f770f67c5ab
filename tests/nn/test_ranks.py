"""Ranks of a process group on worker processes that die, fail and wait."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import icedask as ice
from icedask.errors import ComputeError, InputError
from icedask.nn import ranks
from icedask.nn.process_group import Group, choose_gpus, single_rank
from icedask.nn.ranks import run_ranks
from icedask.tasks.run import active_client


@pytest.fixture
def two(client: Any) -> Any:
    """Two idle workers, restarted after tests that kill them."""
    client.wait_for_workers(2, timeout=60)
    yield client
    client.wait_for_workers(2, timeout=60)
    assert not any(client.processing().values())
    # Each worker still takes a task, and holds no other.
    pids = client.run(os.getpid)
    answered = [
        client.submit(os.getpid, workers=[address], pure=False).result(60) for address in pids
    ]
    assert answered == list(pids.values())
    client.run(_holds_no_rank)


def _holds_no_rank(dask_worker: Any) -> None:
    assert not [key for key in dask_worker.state.tasks if key.startswith("ranks-")]


def test_all_reduce_and_broadcast(two: Any) -> None:
    def train(group: Group, scale: float) -> tuple[Any, ...]:
        generator = torch.Generator().manual_seed(group.rank)
        vector = scale * torch.randn(10_001, generator=generator)
        group.all_reduce_mean(vector)
        numbers = torch.arange(6, dtype=torch.float64).reshape(2, 3).T * (1 + 2 * group.rank)
        numbers.requires_grad_()
        group.all_reduce_mean(numbers)
        value = group.broadcast({"rank": group.rank, "rows": np.arange(3) + group.rank})
        names = group.broadcast([vector.numpy().tobytes()])
        assert names == [vector.numpy().tobytes()]
        assert value["rank"] == 0 and value["rows"].tolist() == [0, 1, 2]
        return group.size, vector.numpy(), numbers.detach().numpy(), os.getpid()

    size, vector, numbers, pid = run_ranks(train, 2, 3.0)
    drawn = [torch.randn(10_001, generator=torch.Generator().manual_seed(i)) for i in (0, 1)]
    np.testing.assert_allclose(vector, 1.5 * (drawn[0] + drawn[1]), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(numbers, 2.0 * np.arange(6.0).reshape(2, 3).T)
    assert size == 2 and pid in two.run(os.getpid).values()


def test_one_rank_runs_here(nothing_computes: None) -> None:
    def train(group: Group, name: str) -> tuple[Any, ...]:
        vector = torch.ones(3)
        group.all_reduce_mean(vector)
        return os.getpid(), name, group.rank, group.size, group.broadcast(vector).sum().item()

    assert run_ranks(train, 1, "a") == (os.getpid(), "a", 0, 1, 3.0)
    with pytest.raises(InputError, match=r"device: expected one that torch has here.*abacus"):
        single_rank("abacus")


def test_no_client_and_bad_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "active_client", lambda *_: None)
    with pytest.raises(InputError, match=r"expected 2 workers for 2 ranks, found no client"):
        run_ranks(print, 2)
    with pytest.raises(InputError, match=r"n_ranks: expected at least 1, found 0"):
        run_ranks(print, 0)
    with pytest.raises(InputError, match=r"timeout_s: expected a number second above 0, found 0"):
        run_ranks(print, 2, timeout_s=0)


def test_too_few_workers(two: Any) -> None:
    with pytest.raises(InputError, match=r"expected 3 workers for 3 ranks, found 2"):
        run_ranks(print, 3)


def test_dask_computes_within_a_rank(two: Any, mw: xr.Dataset) -> None:
    def train(group: Group, positions: xr.DataArray) -> float:
        # On the cluster it would never run: all threads have a rank.
        assert active_client() is None
        part = positions.isel(frame=slice(group.rank, None, group.size))
        value = torch.tensor([float(part.mean())])
        group.all_reduce_mean(value)
        return value.item()

    positions = mw["positions"].isel(atom=slice(0, 100))
    assert run_ranks(train, 2, positions) == pytest.approx(float(positions.mean()))


@pytest.mark.parametrize("failing", [0, 1])
def test_error_of_one_rank_is_the_error(two: Any, failing: int) -> None:
    def train(group: Group) -> None:
        for step in range(1000):
            if group.rank == failing and step == 3:
                raise ice.InputError(f"bad rows in rank {group.rank}")
            group.all_reduce_mean(torch.ones(5))

    with pytest.raises(InputError, match=f"bad rows in rank {failing}"):
        run_ranks(train, 2)


@pytest.mark.slow
def test_killed_ranks_restart(two: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def train(group: Group, folder: Path) -> int:
        path = folder / "checkpoint"
        first = group.broadcast(int(path.read_text()) if path.exists() else 0)
        for step in range(first, 10):
            group.all_reduce_mean(torch.ones(5))
            if group.rank == 0:
                path.write_text(str(step + 1))
            killed = folder / f"killed-{group.rank}"
            if step == 3 + 4 * group.rank and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return first

    with pytest.raises(ComputeError, match=r"lost 2 times.*rerun the same command"):
        run_ranks(train, 2, tmp_path, restarts=1)
    assert "all 2 ranks restart (1 of 1 times)" in caplog.text
    two.wait_for_workers(2, timeout=60)
    assert 7 <= run_ranks(train, 2, tmp_path, restarts=0) <= 8


def test_late_rank_is_ended(two: Any) -> None:
    def train(group: Group) -> None:
        if group.rank == 1:
            time.sleep(3)
        group.all_reduce_mean(torch.ones(5))

    with pytest.raises(ComputeError, match=r"rank 0 waited 2 s for the others"):
        run_ranks(train, 2, timeout_s=2.0)


@pytest.mark.slow
def test_busy_worker(two: Any) -> None:
    busy = two.submit(time.sleep, 6, pure=False)
    with pytest.raises(ComputeError, match=r"did not begin"):
        run_ranks(print, 2, timeout_s=2.0)
    busy.result()


def test_interrupt_ends_the_ranks(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(group: Group) -> None:
        for _ in range(10_000):
            group.all_reduce_mean(torch.ones(5))
            time.sleep(0.05)

    looks = iter(range(20))

    def sleep(seconds: float) -> None:
        if next(looks) == 10:
            raise KeyboardInterrupt
        time.sleep(seconds)

    with monkeypatch.context() as patch:
        patch.setattr(
            ranks, "time", type("Clock", (), {"sleep": sleep, "monotonic": time.monotonic})
        )
        with pytest.raises(KeyboardInterrupt):
            run_ranks(train, 2)


def test_gpus_are_shared_out() -> None:
    # One host, whose processes see all GPUs, or see them in another order each.
    assert choose_gpus([["a", "b"], ["a", "b"]]) == [0, 1]
    assert choose_gpus([["a", "b"], ["b", "a"]]) == [0, 0]
    assert choose_gpus([["a"], [], ["a"], ["c"]]) == [0, None, 0, 0]
