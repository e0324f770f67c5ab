import numpy as np
import pytest
import xarray as xr
from helpers.figures import check_readable, some_labels, some_latent, words

from icedask.errors import InputError
from icedask.plot import density_stages, value_maps


@pytest.fixture
def latent():
    return some_latent(some_labels())


def first_component(latent: xr.Dataset) -> xr.DataArray:
    values = latent["latent"].isel(component=0)
    return values.assign_attrs(units="g/cm^3")


@pytest.mark.parametrize("n_values", [0, 1, 2, 3, 4])
def test_maps_have_titles_and_bars_with_units(latent, n_values: int) -> None:
    values = {f"value {number}": first_component(latent) for number in range(n_values)}
    figure = value_maps(latent, values)
    assert {*values, "time", "ps"} <= set(words(figure))
    assert words(figure).count("g/cm³") == n_values
    check_readable(figure)


def test_points_have_the_values_of_their_rows(latent) -> None:
    lazy = latent.chunk(frame=7, atom=13)
    values = {"": first_component(latent).chunk(frame=4)}
    (axes, _) = value_maps(lazy, values, time=False, max_points=300).axes
    (points,) = axes.collections
    np.testing.assert_allclose(points.get_array(), points.get_offsets()[:, 0])
    assert len(points.get_offsets()) == 300
    np.testing.assert_allclose(points.get_clim(), np.percentile(points.get_array().data, [1, 99]))


def test_rows_without_a_value_are_pale(latent) -> None:
    value = first_component(latent).copy()
    value[:, :15] = np.nan
    (axes, _) = value_maps(latent, {"": value}, time=False).axes
    without, known = axes.collections
    assert len(without.get_offsets()) == 300
    assert len(known.get_offsets()) == 900
    assert np.isfinite(known.get_array()).all()
    # A value known nowhere leaves the map.
    check_readable(value_maps(latent, {"unknown": value * np.nan}))


def test_frames_without_times_are_numbered() -> None:
    assert "frame" in words(value_maps(some_latent(some_labels(timed=False)), {}))
    figure = density_stages(some_latent(some_labels(timed=False)), n_stages=2)
    assert figure.axes[0].get_title() == "frames 0 to 9.5"


def test_what_cannot_be_a_colour_is_refused(latent) -> None:
    with pytest.raises(InputError, match="found none"):
        value_maps(latent, {}, time=False)
    with pytest.raises(InputError, match=r"energy: expected a DataArray \(frame, atom\), found Da"):
        value_maps(latent, {"energy": latent})
    with pytest.raises(InputError, match="energy: expected the same atoms"):
        value_maps(latent, {"energy": first_component(latent)[:, :5]})
    with pytest.raises(InputError, match="energy: expected numbers, found <U1"):
        value_maps(latent, {"energy": first_component(latent).astype("U1")})


@pytest.mark.parametrize("n_stages", [1, 3, 4, 7])
def test_stages_are_equal_parts_of_the_time(latent, n_stages: int) -> None:
    figure = density_stages(latent.chunk(frame=3), n_stages=n_stages, bins=20)
    images = [axes.images for axes in figure.axes[:n_stages]]
    sums = [np.nansum(image.get_array()) for _, image in images]
    np.testing.assert_allclose(sums, 100)
    assert len({image.get_clim() for _, image in images}) == 1
    assert len({np.ma.count_masked(image.get_array()) for image, _ in images}) == 1
    check_readable(figure)


def test_a_row_is_in_the_stage_of_its_frame() -> None:
    labels = some_labels()
    latent = some_latent(labels)
    # The first half of the time is at the left.
    latent["latent"][:] = 0
    latent["latent"][10:] = 1
    first, second = density_stages(latent, n_stages=2, bins=10).axes[:2]
    assert first.get_title() == "0 to 475 ps"
    for axes, row in ((first, 0), (second, -1)):
        shares = np.nan_to_num(axes.images[1].get_array().filled(0))
        assert shares[row, row] == 100


def test_stages_that_cannot_be_are_refused(latent) -> None:
    with pytest.raises(InputError, match="at most as many as frames, 20, found 21"):
        density_stages(latent, n_stages=21)
    with pytest.raises(InputError, match="n_stages: expected at least 1"):
        density_stages(latent, n_stages=0)
    with pytest.raises(InputError, match="every row"):
        density_stages(latent * np.nan)
