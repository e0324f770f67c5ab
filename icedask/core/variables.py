"""Specifications of variables: name, dimensions, dtype, units and source, each in one place.

A specification checks a Dataset on the way in, supplies the attributes on the way out, and is the
documentation. Those of trajectories, labels, latent coordinates and summaries are here; a
descriptor declares its own where it is defined. Stores hold the attributes: reading takes none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from icedask.errors import InputError

# Units of lengths, times and energies, as files of text state them.
FILE_UNITS = "angstrom ps eV"

FRAME = "frame"
ATOM = "atom"
XYZ = "xyz"
CELL_VECTOR = "cell_vector"
COMPONENT = "component"
FEATURE = "feature"
BLOCK = "block"
MOTIF = "motif"
FROM = "from"
TO = "to"
STATE = "state"
DURATION = "duration"
LAG = "lag"
PROCESS = "process"
INTERFACE = "interface"
WINDOW = "window"
REFERENCE_CLASS = "reference_class"
CATEGORY = "category"
SPACE = "space"
CLASS = "class"
CONFIDENCE_BIN = "confidence_bin"
KEPT = "n_components"
MEMBER = "member"


@dataclass(frozen=True)
class Variable:
    """Specification of a variable.

    `dtype` "str" admits any string type and "number" any real number; `reference` is the DOI of the
    publication that defines the quantity.
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    units: str
    long_name: str
    reference: str = ""

    @property
    def attrs(self) -> dict[str, str]:
        """The attributes written with the variable."""
        attrs = {"long_name": self.long_name, "units": self.units, "reference": self.reference}
        return {key: value for key, value in attrs.items() if value}

    def of(self, values: Any, **attrs: Any) -> tuple[tuple[str, ...], Any, dict[str, Any]]:
        """Return dimensions, values and attributes, from which a Dataset makes a variable."""
        return self.dims, values, {**self.attrs, **attrs}


_SPECS = [
    Variable("positions", (FRAME, ATOM, XYZ), "float32", "angstrom", "atom positions as in source"),
    Variable(
        "cell", (FRAME, CELL_VECTOR, XYZ), "float64", "angstrom", "cell vectors a, b, c as rows"
    ),
    Variable("cell_origin", (FRAME, XYZ), "float64", "angstrom", "lower corner of the cell"),
    Variable("pbc", (CELL_VECTOR,), "bool", "", "periodic along each cell vector"),
    Variable("xyz", (XYZ,), "str", "", "Cartesian component"),
    Variable("cell_vector", (CELL_VECTOR,), "str", "", "cell vector"),
    Variable("time", (FRAME,), "float64", "picosecond", "simulation time"),
    Variable("step", (FRAME,), "int64", "1", "simulation step"),
    Variable("atom", (ATOM,), "int64", "1", "index of the atom in the source"),
    Variable("id", (ATOM,), "int64", "1", "identifier of the atom in the source"),
    Variable("element", (ATOM,), "str", "", "chemical element; X is a site without mass"),
    Variable("type", (ATOM,), "str", "", "atom type of the source"),
    Variable("name", (ATOM,), "str", "", "atom name of the source"),
    Variable("residue", (ATOM,), "str", "", "residue name of the source"),
    Variable("molecule", (ATOM,), "int64", "1", "molecule or residue number of the source"),
    Variable("mass", (ATOM,), "float64", "dalton", "atom mass of the source"),
    Variable("image", (FRAME, ATOM, XYZ), "int32", "1", "periodic image flags"),
    Variable("velocity", (FRAME, ATOM, XYZ), "float32", "angstrom/picosecond", "atom velocities"),
    Variable("force", (FRAME, ATOM, XYZ), "float32", "eV/angstrom", "forces on the atoms"),
    Variable("potential_energy", (FRAME, ATOM), "float32", "eV", "potential energy of the atom"),
    Variable("kinetic_energy", (FRAME, ATOM), "float32", "eV", "kinetic energy of the atom"),
    Variable("charge", (FRAME, ATOM), "float32", "elementary_charge", "charge of the atom"),
    Variable(
        "interface_position",
        (FRAME, INTERFACE),
        "float64",
        "angstrom",
        "where a slab begins and ends, along its normal",
    ),
    Variable(
        "shift",
        (FRAME, ATOM, XYZ),
        "float32",
        "angstrom",
        "what denoising added to the position",
        "doi:10.48550/arXiv.2405.06599",
    ),
    Variable(
        "residual",
        (FRAME, ATOM),
        "float32",
        "angstrom",
        "length of the last step of denoising, averaged over neighbours",
    ),
    Variable("score", (FRAME, ATOM), "float32", "1", "distance from the nearest reference"),
    Variable("nearest", (FRAME, ATOM), "int32", "", "phase of the nearest reference"),
    Variable("confidence", (FRAME, ATOM), "float32", "1", "confidence in the class of the atom"),
    Variable("label", (FRAME, ATOM), "int32", "", "class of the atom"),
    Variable("probability", (FRAME, ATOM), "float32", "1", "strength of membership in the class"),
    Variable(
        "class_probability", (FRAME, ATOM, CLASS), "float32", "1", "probability of each class"
    ),
    Variable("window", (WINDOW,), "int64", "1", "frames of a window"),
    Variable("window_time", (WINDOW,), "float64", "picosecond", "duration of a window"),
    Variable("n_states", (WINDOW,), "int64", "1", "number of states"),
    Variable("unclassified", (WINDOW,), "float64", "1", "fraction of the windows in no state"),
    Variable("latent", (FRAME, ATOM, COMPONENT), "number", "", "coordinates in the latent space"),
]

# Labels of the dimensions that have some by themselves.
_AXES = {XYZ: ("x", "y", "z"), CELL_VECTOR: ("a", "b", "c")}

VARIABLES: dict[str, Variable] = {spec.name: spec for spec in _SPECS}

_MARKOV = "doi:10.1214/aoms/1177707039"
_IMPLIED = "doi:10.1021/jp037421y"
_INTEGRATED = "doi:10.48550/arXiv.1703.01365"
_CHAPMAN_KOLMOGOROV = "doi:10.1063/1.3565032"

# By the function that returns them: short names may mean something else in another result.
_SUMMARIES = {
    "transitions": [
        Variable("flux", (FROM, TO), "int64", "1", "pairs of frames of one atom, by states"),
        Variable("probability", (FROM, TO), "float64", "1", "probability of transition", _MARKOV),
        Variable(
            "entered_from", (FROM, TO), "float64", "1", "share of the entries from another state"
        ),
    ],
    "residence_times": [
        Variable("visits", (STATE, DURATION), "int64", "1", "complete visits"),
        Variable(
            "censored", (STATE, DURATION), "int64", "1", "visits of which an end was not seen"
        ),
        Variable("n_visits", (STATE,), "int64", "1", "all visits"),
        Variable("residence_time", (STATE,), "float64", "", "mean residence time", _MARKOV),
    ],
    "populations": [
        Variable("population", (FRAME, STATE), "float64", "1", "fraction of the labelled atoms")
    ],
    "markov_test": [
        Variable("probability", (LAG, FROM, TO), "float64", "1", "probability of transition"),
        Variable(
            "predicted",
            (LAG, FROM, TO),
            "float64",
            "1",
            "probability of transition by the shortest lag",
            _CHAPMAN_KOLMOGOROV,
        ),
        Variable("error", (LAG,), "float64", "1", "largest error of the prediction"),
        Variable(
            "row_error", (LAG, FROM), "float64", "1", "total variation distance of the prediction"
        ),
        Variable(
            "row_noise", (LAG, FROM), "float64", "1", "distance that a Markov chain stays below"
        ),
        Variable("implied_time", (LAG, PROCESS), "float64", "", "implied time scale", _IMPLIED),
    ],
    "origins": [
        Variable(
            "before",
            ("dynamic_state", "structural_state"),
            "int64",
            "1",
            "entries, by the structural state of the frame before",
        ),
        Variable(
            "after",
            ("dynamic_state", "structural_state"),
            "int64",
            "1",
            "exits, by the structural state of the frame after",
        ),
        Variable(
            "during", ("dynamic_state", "structural_state"), "int64", "1", "atoms in both states"
        ),
    ],
    "score_threshold": [
        Variable(
            "count", ("phase", "score_bin"), "int64", "1", "atoms in frames, by nearest phase"
        ),
        Variable("score_low", ("score_bin",), "float64", "1", "lower bound of scores"),
        Variable("score_high", ("score_bin",), "float64", "1", "upper bound of scores"),
        Variable("threshold", (), "float64", "1", "score between crystals and the others"),
    ],
    "motif_table": [
        Variable("members", (MOTIF,), "int64", "1", "number of members"),
        Variable("population", (MOTIF,), "float64", "1", "share of all rows"),
        Variable("mean_time", (MOTIF,), "float64", "", "mean time of the members"),
        Variable("medoid_frame", (MOTIF,), "int64", "1", "frame of the medoid"),
        Variable("medoid_atom", (MOTIF,), "int64", "1", "position of the medoid along atom"),
        Variable(
            "composition", (MOTIF, REFERENCE_CLASS), "float64", "1", "shares of known classes"
        ),
        Variable("category", (MOTIF,), "int32", "1", "category of the motif"),
    ],
    "member_table": [
        Variable("rows", (MEMBER,), "int64", "1", "number of rows"),
        Variable("count", (MEMBER, MOTIF), "int64", "1", "rows in the motif"),
        Variable(
            "reference_count", (MEMBER, REFERENCE_CLASS), "int64", "1", "rows in the known class"
        ),
        Variable("medoid_member", (MOTIF,), "int64", "1", "number of the member of the medoid"),
        Variable("medoid_frame", (MOTIF,), "int64", "1", "frame of the medoid"),
        Variable("medoid_atom", (MOTIF,), "int64", "1", "position of the medoid along atom"),
    ],
    "category_table": [
        Variable("n_motifs", (CATEGORY,), "int64", "1", "number of motifs"),
        Variable("population", (CATEGORY,), "float64", "1", "share of all rows"),
    ],
    "map_scores": [
        Variable("dimensions", (SPACE,), "int64", "1", "dimensions of the representation"),
        Variable("motifs", (SPACE,), "int64", "1", "number of clusters in the map"),
        Variable("noise", (SPACE,), "float64", "1", "share of the rows in no cluster"),
        Variable(
            "trustworthiness",
            (SPACE,),
            "float64",
            "1",
            "preservation of neighbours in the map",
            "doi:10.1007/3-540-44668-0_68",
        ),
        Variable(
            "stability_seed", (SPACE,), "float64", "1", "adjusted Rand index with another seed"
        ),
        Variable("stability_rows", (SPACE,), "float64", "1", "adjusted Rand index with fewer rows"),
        Variable(
            "separation", (SPACE,), "float64", "1", "adjusted Rand index with the known classes"
        ),
    ],
    "classification_scores": [
        Variable(
            "count", ("true_class", "predicted_class"), "int64", "1", "rows by class and label"
        ),
        Variable("recall", ("true_class",), "float64", "1", "share of the class with its label"),
        Variable("precision", ("predicted_class",), "float64", "1", "share of right labels"),
        Variable("accuracy", (), "float64", "1", "share of rows with the right label"),
        Variable("answered", (), "float64", "1", "share of rows that are not unknown"),
        Variable("accuracy_of_answered", (), "float64", "1", "accuracy without unknown rows"),
    ],
    "reliability": [
        Variable("bin_low", (CONFIDENCE_BIN,), "float64", "1", "lower bound of probabilities"),
        Variable("bin_high", (CONFIDENCE_BIN,), "float64", "1", "upper bound of probabilities"),
        Variable("bin_count", (CONFIDENCE_BIN,), "int64", "1", "number of answered rows"),
        Variable("bin_confidence", (CONFIDENCE_BIN,), "float64", "1", "mean probability"),
        Variable("bin_accuracy", (CONFIDENCE_BIN,), "float64", "1", "share of right labels"),
        Variable(
            "calibration_error",
            (),
            "float64",
            "1",
            "expected calibration error",
            "doi:10.48550/arXiv.1706.04599",
        ),
    ],
    "mean_importances": [
        Variable(
            "importance",
            (CLASS, FEATURE),
            "float64",
            "1",
            "mean absolute integrated gradient",
            _INTEGRATED,
        ),
        Variable(
            "attribution", (CLASS, FEATURE), "float64", "1", "mean integrated gradient", _INTEGRATED
        ),
        Variable("n_rows", (CLASS,), "int64", "1", "number of rows"),
        Variable("completeness_error", (), "float64", "1", "largest error of the sum of a row"),
    ],
    "importance_correlation": [
        Variable("rank_correlation", (CLASS,), "float64", "1", "rank correlation of importances"),
        Variable(
            "overall_rank_correlation", (), "float64", "1", "rank correlation of mean importances"
        ),
    ],
    "accuracy_by_components": [
        Variable("accuracy", (KEPT,), "float64", "1", "share of rows with the right label"),
        Variable("accuracy_of_answered", (KEPT,), "float64", "1", "accuracy without unknown rows"),
        Variable("recall", (KEPT, CLASS), "float64", "1", "share of the class with its label"),
        Variable("accuracy_of_all", (), "float64", "1", "accuracy with all components"),
        Variable("component", ("rank",), "int64", "1", "component of each rank of importance"),
    ],
    "merge_states": [
        Variable("macro_state", (STATE,), "int32", "1", "new number of the state"),
        Variable("leaf", ("leaf",), "int32", "1", "state of each leaf of the tree"),
        Variable("linkage", ("merge", "linkage_column"), "float64", "1", "tree of the states"),
    ],
}


def summary_variables(function: str, units: str = "", **values: object) -> dict[str, xr.Variable]:
    """Return the variables of the summary that `function` returns, from their values by name.

    `units` are the units of variables for which the specification has none.
    """
    return {
        spec.name: xr.Variable(
            *spec.of(np.asarray(values[spec.name], spec.dtype), units=spec.units or units)
        )
        for spec in _SUMMARIES[function]
    }


def _dtype_matches(dtype: np.dtype, wanted: str) -> bool:
    if wanted == "str":
        return dtype.kind in "UTO"
    if wanted == "number":
        return dtype.kind in "iuf"
    return dtype == np.dtype(wanted)


def check_variable(array: xr.DataArray, name: str) -> None:
    """Raise InputError unless `array` has the dims, dtype and units of the variable `name`."""
    spec = VARIABLES[name]
    if array.dims != spec.dims:
        raise InputError(f"{name}: expected the dimensions {spec.dims}, found {array.dims}")
    if not _dtype_matches(array.dtype, spec.dtype):
        raise InputError(
            f"{name}: expected dtype {spec.dtype}, found {array.dtype}; convert it with "
            f'.astype("{spec.dtype}")'
        )
    units = array.attrs.get("units", spec.units)
    if units != spec.units:
        raise InputError(
            f"{name}: expected units {spec.units!r}, found {units!r}; convert the values and set "
            'attrs["units"]'
        )


def check_dataset(ds: xr.Dataset) -> None:
    """Check every variable of `ds` that has a specification."""
    for name in [str(name) for name in ds.variables]:
        if name in VARIABLES:
            check_variable(ds[name], name)


def with_axes(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with the names x, y, z and a, b, c along the dimensions xyz and cell_vector."""
    names = {
        dim: VARIABLES[dim].of(np.array(labels))
        for dim, labels in _AXES.items()
        if dim in ds.dims and dim not in ds.coords and ds.sizes[dim] == len(labels)
    }
    return ds.assign_coords(names)


def with_attrs(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with the specified attributes on every variable that has a specification."""
    ds = ds.copy()
    for name in [str(name) for name in ds.variables]:
        if name in VARIABLES:
            ds[name].attrs = {**VARIABLES[name].attrs, **ds[name].attrs}
    return ds
