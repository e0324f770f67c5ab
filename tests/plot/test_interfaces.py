import ase
import numpy as np
import pytest
import xarray as xr
from helpers.figures import check_readable, words

import icedask as ice
from icedask.errors import InputError
from icedask.plot import interface_motion
from icedask.plot.interfaces import value_text

N = 200


def slab(growth: float = 0.05, *, timed: bool = True) -> tuple[xr.Dataset, xr.Dataset, np.ndarray]:
    """Return interfaces of a slab that drifts upwards and grows, its trajectory and thickness."""
    rng = np.random.default_rng(0)
    height = 60 + 0.3 * rng.normal(size=N)
    trj = ice.from_ase([ase.Atoms("O", cell=[20, 20, length], pbc=True) for length in height])
    if timed:
        trj = trj.assign_coords(time=("frame", np.arange(N) * 10.0))
    else:
        trj = trj.drop_vars("time", errors="ignore")
    thickness = 20 + growth * np.arange(N) + 0.2 * rng.normal(size=N)
    begin = 30 + 0.3 * np.arange(N) - thickness / 2
    place = np.stack([begin, begin + thickness], axis=1) % height[:, None]
    place[17] = np.nan
    return xr.Dataset({"interface_position": (("frame", "interface"), place)}), trj, thickness


def test_places_do_not_jump_and_the_slope_is_that_of_the_thickness() -> None:
    planes, trj, thickness = slab()
    figure = interface_motion(planes, trj)
    upper, lower = figure.axes
    for line in upper.lines:
        steps = np.diff(line.get_ydata())
        assert np.nanmax(np.abs(steps)) < 10
    drawn = lower.lines[0].get_ydata()
    np.testing.assert_allclose(np.delete(drawn, 17), np.delete(thickness, 17))
    assert np.isnan(drawn[17])
    # 0.05 angstrom each 10 ps: 5 angstrom per ns, each interface 0.25 m/s.
    (title,) = [text for text in words(figure) if text.startswith("slope")]
    assert title.endswith("m/s")
    slope, each = (float(part.split(" ± ")[0].split()[-1]) for part in title.split(","))
    assert slope == pytest.approx(5, rel=0.02)
    assert each == pytest.approx(0.25, rel=0.02)
    assert lower.get_xlabel() == "time (ns)"
    check_readable(figure)


def test_without_times_the_speed_is_by_frame() -> None:
    planes, trj, _ = slab(-0.03, timed=False)
    figure = interface_motion(planes, trj)
    assert [text for text in words(figure) if "Å/frame" in text and "m/s" not in text]
    check_readable(figure)


def test_errors_have_two_digits() -> None:
    assert value_text(12.3456, 0.0234) == "12.346 ± 0.023"
    assert value_text(-1234.5, 23.4) == "-1234 ± 23"
    assert value_text(2.0, 0.0) == "2 ± 0"


def test_what_does_not_fit_is_refused() -> None:
    planes, trj, _ = slab()
    with pytest.raises(InputError, match="expected interface_position"):
        interface_motion(trj, trj)
    with pytest.raises(InputError, match="same frames"):
        interface_motion(planes.isel(frame=slice(5)), trj)
    with pytest.raises(InputError, match=r"within the cell along its vector 0, at most 20 Å"):
        interface_motion(planes, trj, axis=0)
    with pytest.raises(InputError, match="at least 3 frames, found 2 of 3"):
        interface_motion(planes.isel(frame=slice(16, 19)), trj.isel(frame=slice(16, 19)))
