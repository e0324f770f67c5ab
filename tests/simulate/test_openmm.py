"""The OpenMM engine and its TIP4P/Ice, on cells small enough for seconds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import ase
import numpy as np
import pytest
from helpers.tip4p_oracle import tip4p_energy

from icedask.errors import InputError
from icedask.kernels.neighbors import neighbor_list
from icedask.simulate.job import Job, SimulationFailed, Start
from icedask.simulate.molecules import in_layer, reduced, shear, to_standard, wrap
from icedask.simulate.openmm import OpenMMEngine, State, choose_platform, input_text
from icedask.simulate.potentials import TIP4P_ICE
from icedask.simulate.stages import Dynamics, Held, Minimise, Shear, Stage
from icedask.simulate.structures import ice, liquid
from icedask.simulate.tip4p_ice import molecules_of, parameters

pytest.importorskip("openmm")
pytest.importorskip("genice2")

BOND, ANGLE = 0.9572, 104.52
HH = 2 * BOND * np.sin(np.radians(ANGLE / 2))
DALTON = 18.015 / 0.602214  # g/cm3 of a molecule in a cubic angstrom


@pytest.fixture(scope="module")
def ih() -> ase.Atoms:
    """Ice Ih, 128 molecules."""
    return ice("Ih", (2, 2, 2), seed=1)


def job(*stages: Stage, n_atoms: int = 384, seed: int = 0) -> Job:
    return Job("test", "test", Start("ice"), n_atoms, TIP4P_ICE, stages, seed)


def short(steps: int = 100, every: int = 50, **more: object) -> Dynamics:
    fields = {"temperature": 200.0, "velocities": 200.0} | more
    return Dynamics("short", steps, every=every, **fields)


def engine_of(job: Job) -> OpenMMEngine:
    return OpenMMEngine(job, 1, lambda step: None)


def run(job: Job, atoms: ase.Atoms, folder: Path) -> list[State]:
    """Run all segments; return the states between them."""
    engine = engine_of(job)
    engine.begin(atoms, str(folder / "0"))
    for number, segment in enumerate(job.segments()):
        engine.run(segment, str(folder / str(number)), str(folder / str(number + 1)))
    return [State.load(str(folder / str(number))) for number in range(len(job.segments()) + 1)]


def begun(job: Job, atoms: ase.Atoms, folder: Path) -> State:
    engine_of(job).begin(atoms, str(folder / "0"))
    return State.load(str(folder / "0"))


def energy(job: Job, state: State) -> float:
    """Potential energy, kcal/mol of a molecule."""
    potential = engine_of(job)._context(state).getState(energy=True).getPotentialEnergy()
    return potential._value / 4.184 / len(state.positions)


def same(a: State, b: State) -> bool:
    return (
        np.array_equal(a.positions, b.positions)
        and np.array_equal(a.velocities, b.velocities)
        and np.array_equal(a.cell, b.cell)
    )


def bonds(positions: np.ndarray) -> np.ndarray:
    """Lengths of O-H, O-H and H-H of positions (..., molecules, 3 or 4, 3)."""
    o, h, g = positions[..., 0, :], positions[..., 1, :], positions[..., 2, :]
    return np.stack([np.linalg.norm(pair, axis=-1) for pair in (h - o, g - o, g - h)], axis=-1)


def test_the_energy_of_two_molecules_is_the_sum_over_their_sites(tmp_path: Path) -> None:
    # In a large cell, so that periodic images change little.
    half = np.radians(ANGLE / 2)
    water = BOND * np.array(
        [[0, 0, 0], [np.sin(half), 0, np.cos(half)], [-np.sin(half), 0, np.cos(half)]]
    )
    atoms = ase.Atoms(
        "OHHOHH", np.concatenate([water, water + np.array([0.3, 0.2, 3.0])]) + 20, pbc=True
    )
    atoms.set_cell([60.0] * 3)
    work = job(short(), n_atoms=6)
    state = begun(work, atoms, tmp_path)
    sites = state.positions * 10
    np.testing.assert_allclose(np.linalg.norm(sites[:, 3] - sites[:, 0], axis=1), 0.1577, 1e-6)
    charges = 0.5897 * np.array([0, 1, 1, -2])
    apart = np.linalg.norm(sites[0][:, None] - sites[1][None], axis=2)
    coulomb = 332.06371 * (charges[:, None] * charges[None] / apart).sum()
    ratio = (3.1668 / apart[0, 0]) ** 6
    expected = coulomb + 4 * 0.21084 * (ratio**2 - ratio)
    assert 2 * energy(work, state) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("phase", "repeats"), [("Ih", (2, 2, 2)), ("II", (2, 2, 3)), ("V", (2, 2, 2))]
)
def test_the_lattice_energy_of_ices_is_that_of_lammps(
    phase: str, repeats: Sequence[int], tmp_path: Path
) -> None:
    atoms = ice(phase, repeats, seed=1)
    work = job(short(), n_atoms=len(atoms))
    state = begun(work, atoms, tmp_path)
    there = tip4p_energy(
        state.positions[:, :3] * 10, state.cell * 10, state.cutoff, parameters(TIP4P_ICE)
    )
    assert energy(work, state) == pytest.approx(there / len(state.positions), abs=0.01)


def test_any_cell_of_the_same_lattice_has_the_same_energy(ih: ase.Atoms, tmp_path: Path) -> None:
    skewed = ih.copy()
    skewed.set_cell(ih.cell.array + np.array([[0, 0, 0], [1, 0, 0], [-2, 1, 0]]) @ ih.cell.array)
    skewed.rotate(50, (1, 2, 3), rotate_cell=True)
    energies = []
    for name, atoms in {"a": ih, "b": skewed}.items():
        (tmp_path / name).mkdir()
        work = job(short())
        energies.append(energy(work, begun(work, atoms, tmp_path / name)))
    assert energies[0] == pytest.approx(energies[1], rel=1e-5)


def test_molecules_stay_rigid(ih: ase.Atoms, tmp_path: Path) -> None:
    work = job(Minimise(), short(200, temperature=300.0, pressure=1.0, coupling="aniso"))
    states = run(work, ih, tmp_path)
    for state in states[1:]:
        np.testing.assert_allclose(bonds(state.positions * 10), [[BOND, BOND, HH]] * 128, rtol=1e-5)
    assert energy(work, states[1]) < energy(work, states[0]) - 0.03


def test_an_interrupted_simulation_is_the_same_bit_by_bit(ih: ase.Atoms, tmp_path: Path) -> None:
    work = job(Minimise(), short(150, pressure=1.0, coupling="aniso"), short(100))
    states = run(work, ih, tmp_path)
    # Another engine, as in another process, continues from the file in the middle.
    segments = work.segments()
    block = engine_of(work).run(segments[1], str(tmp_path / "1"), str(tmp_path / "again"))
    assert same(State.load(str(tmp_path / "again")), states[2])
    assert not same(states[1], states[2])
    assert block is not None
    other = run(job(*work.stages, seed=1), ih, tmp_path)
    assert not same(other[2], states[2])


def test_frames_have_times_and_whole_molecules(ih: ase.Atoms, tmp_path: Path) -> None:
    work = job(short(50, every=0), short(200, every=100))
    engine = engine_of(work)
    engine.begin(ih, str(tmp_path / "0"))
    blocks = [
        engine.run(segment, str(tmp_path / str(number)), str(tmp_path / str(number + 1)))
        for number, segment in enumerate(work.segments())
    ]
    assert blocks[0] is None
    block = blocks[1]
    assert block is not None
    np.testing.assert_allclose(block.time, [0.4, 0.8])
    assert block.step.tolist() == [100, 200]
    assert block.positions.shape == (2, 384, 3)
    assert block.positions.dtype == np.float32
    np.testing.assert_allclose(block.cell[0], ih.cell.array, rtol=1e-6, atol=1e-6)
    molecules = block.positions.reshape(2, 128, 3, 3).astype(float)
    np.testing.assert_allclose(bonds(molecules)[..., :2], BOND, atol=1e-4)
    fractions = molecules[:, :, 0] @ np.linalg.inv(block.cell[0])
    assert fractions.min() > -1e-6
    assert fractions.max() < 1 + 1e-6


@pytest.mark.parametrize("coupling", ["iso", "aniso", "z", "tri", None])
def test_a_barostat_changes_only_its_degrees_of_freedom(
    coupling: str | None, ih: ase.Atoms, tmp_path: Path
) -> None:
    pressed = {} if coupling is None else {"pressure": 8_000.0, "coupling": coupling}
    # The flexible barostat needs many trials until its changes are small enough.
    states = run(job(short(800 if coupling == "tri" else 200, **pressed)), ih, tmp_path)
    change = states[1].cell / states[0].cell.diagonal() - np.eye(3)
    edges, tilts = np.diag(change), change[np.tril_indices(3, -1)]
    assert (tilts != 0).all() == (coupling == "tri")
    if coupling is None:
        assert not change.any()
        return
    assert edges.sum() < -1e-3
    assert (edges[:2] == 0).all() == (coupling == "z")
    assert np.allclose(edges, edges[0], rtol=1e-9) == (coupling == "iso")


def test_ramps_end_where_they_should(tmp_path: Path, ih: ase.Atoms) -> None:
    stage = short(
        200, temperature=100.0, temperature_end=300.0, pressure=1.0, pressure_end=5000.0, every=0
    )
    seen = []
    engine = engine_of(job(stage, short()))
    original = engine._context

    def watched(*args: object) -> object:
        context = original(*args)
        seen.append(context)
        return context

    engine._context = watched  # type: ignore[method-assign]
    engine.begin(ih, str(tmp_path / "0"))
    engine.run(engine._job.segments()[0], str(tmp_path / "0"), str(tmp_path / "1"))
    context = seen[-1]
    # The last of four pieces, at its middle.
    assert context.getIntegrator().getTemperature()._value == pytest.approx(275.0)
    assert context.getParameter("MonteCarloTemperature") == pytest.approx(275.0)
    assert context.getParameter("MonteCarloPressure") == pytest.approx(4375, rel=1e-3)


def test_the_thermostat_keeps_its_temperature(ih: ase.Atoms, tmp_path: Path) -> None:
    stage = short(500, temperature=250.0, velocities=250.0)
    states = run(job(Minimise(), stage), ih, tmp_path)
    masses = np.array([TIP4P_ICE.masses[symbol] for symbol in "OHH"])
    velocities = states[-1].velocities[:, :3]
    kinetic = 0.5 * (masses[:, None] * velocities**2).sum()
    # Six degrees of freedom of a molecule; 0.0083144626 kJ/mol/K. Velocities of the middle scheme
    # are half a step apart, and the potential energy has just begun to rise.
    temperature = 2 * kinetic / (6 * 128 * 0.0083144626)
    assert temperature == pytest.approx(250, abs=45)


def test_held_molecules_stay_and_the_others_move(ih: ase.Atoms, tmp_path: Path) -> None:
    states = run(job(short(held=Held(2, 0.0, 0.5), temperature=400.0)), ih, tmp_path)
    before, after = states
    held = in_layer(before.positions, before.cell, 2, 0.0, 0.5)
    assert 0 < held.sum() < 128
    moved = np.abs(after.positions - before.positions).max(axis=(1, 2))
    assert moved[held].max() < 1e-12
    assert moved[~held].min() > 1e-4


def test_a_shear_moves_one_layer_rigidly(ih: ase.Atoms) -> None:
    molecules, cell = molecules_of(ih)
    for seed in range(5):
        sheared = shear(molecules, cell, np.random.default_rng(seed))
        shift = (sheared - molecules).reshape(128, -1)
        moved = np.abs(shift).max(axis=1) > 0
        assert 0.1 < moved.mean() < 0.9
        np.testing.assert_allclose(shift[moved], shift[moved][:1].repeat(moved.sum(), 0), atol=1e-9)
        np.testing.assert_allclose(bonds(sheared), bonds(molecules), atol=1e-9)
        steps = shift[moved][0, :3] @ np.linalg.inv(cell)
        assert np.sum(np.abs(steps) < 1e-9) == 1


def test_a_glass_is_sheared_too() -> None:
    # No shift of its layers is free of contacts.
    molecules, cell = molecules_of(liquid(216, 1.0, seed=4))
    for seed in range(3):
        sheared = shear(molecules, cell, np.random.default_rng(seed))
        np.testing.assert_allclose(bonds(sheared), bonds(molecules), atol=1e-9)
        assert np.linalg.norm(sheared - molecules, axis=2).max() > 1
        closest = neighbor_list(sheared[:, 0], cell, [True] * 3, 3.0).distances.min()
        assert closest >= 2.4


def test_shears_break_the_crystal_and_no_molecule(ih: ase.Atoms, tmp_path: Path) -> None:
    shears = Shear("shear", cycles=3, steps=50, temperature=80.0, pressure=1.0)
    states = run(job(Minimise(), shears, short(1, every=1, velocities=None)), ih, tmp_path)
    assert len(states) == 6
    for state in states:
        np.testing.assert_allclose(bonds(state.positions * 10), [[BOND, BOND, HH]] * 128, rtol=1e-5)
    perfect, broken = (energy(job(short()), states[number]) for number in (1, 4))
    assert perfect + 0.5 < broken < -12


@pytest.mark.slow
def test_liquid_water_has_its_density(tmp_path: Path) -> None:
    # 0.994 g/cm3 at 300 K. From a minimised random structure, water needs a hot start; so few
    # molecules and picoseconds leave an error of some 2 %.
    atoms = liquid(128, 1.05, seed=2)
    stages = (
        Minimise(),
        short(400, temperature=450.0, velocities=450.0, every=0),
        short(700, temperature=300.0, velocities=None, pressure=1.0, every=0),
        short(900, temperature=300.0, velocities=None, pressure=1.0, every=25),
    )
    work = job(*stages)
    engine = engine_of(work)
    engine.begin(atoms, str(tmp_path / "0"))
    cells: list[np.ndarray] = []
    for number, segment in enumerate(work.segments()):
        block = engine.run(segment, str(tmp_path / str(number)), str(tmp_path / str(number + 1)))
        cells += [] if block is None else list(block.cell)
    density = 128 * DALTON / np.linalg.det(cells).mean()
    assert density == pytest.approx(0.994, abs=0.03)


def test_an_exploding_system_is_reported_with_its_step(ih: ase.Atoms, tmp_path: Path) -> None:
    work = job(short())
    state = begun(work, ih, tmp_path)
    state.positions[1] = state.positions[0] + 1e-4
    state.save(str(tmp_path / "0"))
    with pytest.raises(SimulationFailed, match="step"):
        engine_of(work).run(work.segments()[0], str(tmp_path / "0"), str(tmp_path / "1"))
    assert not (tmp_path / "1").exists()


def _left_handed(atoms: ase.Atoms) -> ase.Atoms:
    atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    return atoms


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda atoms: atoms[:-1], "O, H, H"),
        (lambda atoms: atoms[[1, 0, 2]], "O, H, H"),
        (_left_handed, "right-handed"),
        (lambda atoms: ice("Ih", (1, 2, 2), seed=1), "repeat it"),
    ],
)
def test_bad_start_structures(spoil: object, message: str, ih: ase.Atoms, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        engine_of(job(short())).begin(spoil(ih.copy()), str(tmp_path / "0"))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([Minimise(box="iso"), short()], "fixed"),
        ([short(held=Held(2, 0.0, 0.5), pressure=1.0)], "held"),
    ],
)
def test_unsupported_stages(stages: Sequence[Stage], message: str) -> None:
    with pytest.raises(InputError, match=message):
        engine_of(job(*stages))


def test_a_missing_openmm_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openmm", None)
    with pytest.raises(InputError, match=r"pip install icedask\[simulate\]"):
        engine_of(job(short()))


class FakePlatform:
    def __init__(self, name: str, properties: Sequence[str]) -> None:
        self.getName = lambda: name
        self.getPropertyNames = lambda: properties


@pytest.mark.parametrize(
    ("with_device", "chosen", "properties"),
    [
        ("CUDA OpenCL", "CUDA", {"Precision": "mixed", "DeterministicForces": "true"}),
        ("OpenCL", "OpenCL", {"Precision": "mixed"}),
        ("", "CPU", {"Threads": "3", "DeterministicForces": "true"}),
    ],
)
def test_choice_of_the_platform(with_device: str, chosen: str, properties: dict[str, str]) -> None:
    openmm = pytest.importorskip("openmm")
    platforms = [
        FakePlatform("CPU", ["Threads", "DeterministicForces"]),
        FakePlatform("OpenCL", ["Precision"]),
        FakePlatform("CUDA", ["Precision", "DeterministicForces"]),
    ]

    def context(system: object, integrator: object, platform: FakePlatform, options: dict) -> None:
        if platform.getName() not in with_device or options.keys() - platform.getPropertyNames():
            raise openmm.OpenMMException("no device")

    fake = SimpleNamespace(
        Platform=SimpleNamespace(
            getPlatform=platforms.__getitem__, getNumPlatforms=lambda: len(platforms)
        ),
        System=openmm.System,
        VerletIntegrator=openmm.VerletIntegrator,
        OpenMMException=openmm.OpenMMException,
        Context=context,
    )
    platform, selected = choose_platform(fake, 3)
    assert platform.getName() == chosen
    assert selected == properties


def test_progress_and_settings(
    ih: ase.Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icedask.simulate.openmm._TICK_SECONDS", 0.0)
    reports: list[int] = []
    work = job(short(180, every=90, temperature=123.0))
    engine = OpenMMEngine(work, 1, reports.append)
    engine.begin(ih, str(tmp_path / "0"))
    engine.run(work.segments()[0], str(tmp_path / "0"), str(tmp_path / "1"))
    assert reports == [50, 90, 100, 150, 180]
    text = input_text(work)
    assert engine.version.startswith("8")
    for part in ("epsilon 0.21084", "LangevinMiddleIntegrator, 4.0 fs", "123.0"):
        assert part in text


def test_reduced_cells_span_the_same_lattice() -> None:
    cell = np.array([[10.0, 0, 0], [26.0, 9.0, 0], [-33.0, 14.0, 8.0]])
    short = reduced(cell)
    combination = short @ np.linalg.inv(cell)
    np.testing.assert_allclose(combination, combination.round(), atol=1e-9)
    assert np.abs(np.linalg.det(combination)) == pytest.approx(1)
    assert (2 * np.abs(short[1:, 0]) <= short[0, 0]).all()
    assert 2 * abs(short[2, 1]) <= short[1, 1]


def test_rotation_keeps_distances() -> None:
    random = np.random.default_rng(3)
    cell = np.linalg.qr(random.normal(size=(3, 3)))[0] @ np.diag([8.0, 9.0, 10.0])
    cell *= np.sign(np.linalg.det(cell))
    positions = random.normal(size=(5, 3))
    rotated, standard = to_standard(positions, cell)
    assert not np.triu(standard, 1).any()
    assert np.linalg.det(standard) == pytest.approx(np.linalg.det(cell))
    np.testing.assert_allclose(rotated @ rotated.T, positions @ positions.T)


def test_wrapping_moves_molecules_as_a_whole() -> None:
    cell = np.array([[5.0, 0, 0], [2.0, 6.0, 0], [-1.0, 2.0, 7.0]])
    molecules = np.random.default_rng(0).uniform(-20, 20, (50, 4, 3))
    wrapped = wrap(molecules, cell)
    fractions = wrapped[:, 0] @ np.linalg.inv(cell)
    assert ((fractions > -1e-9) & (fractions < 1 + 1e-9)).all()
    moved = (wrapped - molecules) @ np.linalg.inv(cell)
    np.testing.assert_allclose(moved, moved[:, :1].round().repeat(4, axis=1), atol=1e-9)
