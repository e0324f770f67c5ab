import ast
import inspect
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import xarray as xr
from ase.build import bulk
from helpers.figures import some_labels
from matplotlib import colormaps
from matplotlib.colors import is_color_like, to_hex, to_rgb

import icedask as ice
from icedask import plot
from icedask.descriptors.chill import CLASSES as CHILL_PLUS
from icedask.plot import timelines
from icedask.plot.style import (
    CLASS_COLORS,
    NOISE,
    PALETTE,
    frame_times,
    names_of,
    percent_text,
    spread,
    state_color,
    state_colors,
    state_name,
)


def test_sixteen_states_have_colours_of_their_own() -> None:
    colors = [state_color(state) for state in range(16)]
    assert len({*colors, NOISE}) == 17
    assert colors == list(PALETTE)
    assert state_color(-1) == NOISE
    assert state_color(16) == PALETTE[0]


def test_a_class_has_one_colour_whatever_its_number_and_its_name() -> None:
    for number in range(20):
        assert state_color(number, {number: "cubic ice"}) == CLASS_COLORS["cubic ice"]
        assert state_color(number, {number: "liquid"}) == CLASS_COLORS["liquid"]
    for name, other in (("hexagonal ice", "Ih"), ("cubic ice", "Ic"), ("hydrate", "sI")):
        assert CLASS_COLORS[name] == CLASS_COLORS[other]
    assert CLASS_COLORS["liquid"] not in {*PALETTE, NOISE}
    assert CLASS_COLORS["unknown"] not in {*PALETTE, NOISE}
    # A class without a colour of its own takes none of another class.
    names = {0: "Ih", 1: "fcc", 2: "liquid"}
    assert len(set(state_colors(np.arange(3), names))) == 3
    assert state_colors(np.array([0, 1]), {1: "liquid"})[0] == PALETTE[0]


def test_classes_of_chill_plus_have_one_palette_in_all_figures() -> None:
    trj = ice.from_ase([bulk("O", "diamond", a=6.37, cubic=True) * 3] * 2)
    chill = ice.chill_plus(trj)
    place = trj["positions"].values[..., :2]
    latent = xr.Dataset({"latent": (("frame", "atom", "component"), place)})
    cubic = CLASS_COLORS["cubic ice"]
    legends = [
        plot.snapshot(trj, chill).axes[0].get_legend(),
        plot.latent_map(latent, chill).legends[0],
        plot.stages(trj, ice.tetrahedral(trj)["tetrahedral"], chill, [0]).legends[0],
        plot.sankey(chill, [0, 1]).legends[0],
    ]
    for legend in legends:
        assert [text.get_text() for text in legend.get_texts()] == ["cubic ice"]
        assert [line.get_color() for line in legend.get_lines()] == [cubic]
    populations = ice.populations(chill)
    (line,) = plot.phase_fractions(populations).axes[0].lines
    assert line.get_color() == cubic
    (stack,) = plot.timelines(chill, chill).axes[1].collections
    assert to_hex(stack.get_facecolor()[0]).upper() == cubic


# Severity 1 of Machado, Oliveira and Fernandes, doi:10.1109/TVCG.2009.113; normal vision first.
VISION = [
    np.eye(3),
    [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
]


def cielab(colors: list[str], matrix: np.ndarray) -> np.ndarray:
    """Return colours as they are seen, (n, 3), in CIELAB."""
    rgb = np.array([to_rgb(color) for color in colors])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(matrix), 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = linear @ np.transpose(to_xyz) / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("matrix", VISION)
@pytest.mark.parametrize(
    "classes",
    [
        [name.replace("_", " ") for name in CHILL_PLUS],
        ["Ih", "Ic", "II", "III", "VI", "VII", "sI", "liquid", "unknown"],
    ],
)
def test_classes_of_one_figure_differ_for_the_colour_blind(matrix, classes) -> None:
    colors = [CLASS_COLORS[name] for name in classes]
    seen = cielab([*colors, "#FFFFFF"], matrix)
    distance = np.linalg.norm(seen[:, None] - seen, axis=2)
    assert distance[~np.eye(len(seen), dtype=bool)].min() > 12


def test_colours_are_written_in_style_alone() -> None:
    for file in sorted(Path(plot.__file__).parent.glob("*.py")):
        if file.name == "style.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value
                color = is_color_like(text) and len(text) > 1 and text != "none"
                assert not color, f"{file.name}:{node.lineno}"
                assert text not in colormaps, f"{file.name}:{node.lineno}"


@pytest.mark.parametrize("name", plot.__all__)
def test_figures_document_all_their_parameters(name: str) -> None:
    draw = getattr(plot, name)
    text = inspect.getdoc(draw)
    assert "Returns\n-------\nmatplotlib.figure.Figure\n\nRaises\n------\nInputError" in text
    section = text.partition("Parameters\n----------\n")[2].partition("\n\nReturns")[0]
    entries = re.findall(r"^(\S.*?) : ", section, re.M)
    documented = [name for entry in entries for name in entry.split(", ")]
    assert documented == list(inspect.signature(draw).parameters)


def test_names_come_from_the_caller_then_from_the_flags() -> None:
    array = xr.DataArray([0], attrs={"flag_values": [0, 4], "flag_meanings": "liquid cubic_ice"})
    names = names_of(array, {0: "water"})
    assert [state_name(state, names) for state in (-1, 0, 1, 4)] == [
        "noise",
        "water",
        "state 1",
        "cubic ice",
    ]
    assert names_of(xr.DataArray([0]), None) == {}


@pytest.mark.parametrize(
    ("last", "label", "text"),
    [
        (900.0, "time (ps)", "900 ps"),
        (4600.0, "time (ns)", "4.6 ns"),
        (2e6, "time (µs)", "2 µs"),
        (np.nan, "frame", "frame 1"),
    ],
)
def test_times_have_the_unit_that_fits(last: float, label: str, text: str) -> None:
    times = frame_times(xr.Dataset(coords={"time": ("frame", [0.0, last])}))
    assert times.label == label
    assert times.text(1) == text


def test_frames_without_times_are_numbered() -> None:
    times = frame_times(some_labels(timed=False))
    assert times.label == "frame"
    np.testing.assert_array_equal(times.values, np.arange(20))


def test_percentages_keep_their_digits() -> None:
    values = (100.0, 99.97, 43.21, 5.0, 0.12, 0.004, 0.0004, 0.0)
    assert [percent_text(value) for value in values] == [
        "100",
        "99.97",
        "43.2",
        "5.0",
        "0.12",
        "0.004",
        "<0.001",
        "0",
    ]


def test_spread_keeps_order_and_distance() -> None:
    positions = np.array([0.0, 0.01, 5.0, 0.02])
    moved = spread(positions, 0.5)
    assert (np.diff(moved[np.argsort(positions)]) >= 0.5 - 1e-12).all()
    assert moved[2] == 5.0
    np.testing.assert_allclose(moved[[0, 1, 3]].mean(), 0.01)


def test_the_look_is_the_same_under_other_settings() -> None:
    with matplotlib.rc_context({"font.size": 20, "xtick.labelsize": 20, "axes.labelsize": 20}):
        axes = timelines(some_labels()).axes[0]
        assert axes.xaxis.label.get_fontsize() == 8
        assert axes.get_xticklabels()[0].get_fontsize() == 7
