"""Merge states whose rows of the transition matrix are correlated."""

from __future__ import annotations

from typing import Annotated

import dask.array as da
import numpy as np
import xarray as xr
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist

from icedask.core.collection import over_members
from icedask.core.features import array_record, row_coords
from icedask.core.labels import Labels, checked_labels
from icedask.core.options import Option, takes_options
from icedask.core.provenance import stamped
from icedask.core.trajectory import check_atom_order
from icedask.core.types import FloatArray, LabelArray
from icedask.core.variables import FROM, STATE, TO, VARIABLES, summary_variables
from icedask.errors import InputError

# Range of a row that is constant but for rounding: its correlation is not defined.
_CONSTANT = 1e-12


@over_members
@takes_options(
    "labels : xarray.Dataset\n    label (frame, atom), int32.",
    "transitions : xarray.Dataset\n    The result of `transitions` for these labels.",
)
def merge_states(
    labels: xr.Dataset,
    transitions: xr.Dataset,
    *,
    cutoff: Annotated[
        float, Option("Largest distance between merged states.", at_least=0, at_most=2)
    ] = 1.0,
) -> xr.Dataset:
    """Merge states whose rows of transition probabilities are correlated; the labels are lazy.

    The distance of two states is one minus the correlation of their rows: below 1, the rows are
    correlated. Agglomerative clustering with average linkage joins states no further than
    `cutoff` apart. A state whose row has no values (no transition from it was counted) or only
    equal ones is not merged.

    {parameters}

    Returns
    -------
    xarray.Dataset
        label (frame, atom), int32: the new number of the state; negative labels are unchanged.
        macro_state (state), int32: the new number of each old state, in the order of the smallest
        old number of its members. linkage (merge, linkage_column), float64: the tree, in SciPy's
        format. leaf (leaf), int32: the old number of each leaf of the tree, without states that
        have no distance. Attribute cutoff.

    Raises
    ------
    InputError
        If there are no such variables, the transitions are those of other labels, or the cutoff
        is no number from 0 to 2. When the labels are computed, if one has no row.

    References
    ----------
    Crippa et al., Mach. Learn.: Sci. Technol. 4, 045044 (2023), doi:10.1088/2632-2153/ad0fa5

    Examples
    --------
    >>> import icedask as ice
    >>> import numpy as np
    >>> import xarray as xr
    >>> label = np.array([[0], [1], [0], [1], [2], [2], [2]], np.int32)
    >>> labels = xr.Dataset({"label": (("frame", "atom"), label)})
    >>> ice.merge_states(labels, ice.transitions(labels))["macro_state"].values
    array([0, 1, 1], dtype=int32)
    """
    check_atom_order(labels, "merge_states")
    checked = checked_labels(labels, "merge_states")
    probability = _checked_transitions(transitions, checked)
    rows = probability.values
    leaves, linkage = states_tree(rows)
    macro = macro_states(len(rows), leaves, linkage, cutoff)
    merged = da.blockwise(
        renumbered, "fa", checked.blocks, "fa", macro=macro, meta=np.empty((0, 0), np.int32)
    )
    spec = VARIABLES["label"]
    ds = xr.Dataset(
        {
            "label": (spec.dims, merged, {**spec.attrs, **_names(checked, macro)}),
            **summary_variables("merge_states", macro_state=macro, leaf=leaves, linkage=linkage),
        },
        {**row_coords(checked.array), **checked.states(len(macro), STATE)},
        {"cutoff": cutoff},
    )
    parent = array_record(transitions, probability)
    return stamped(
        ds, checked.record.child("results", "merge_states", 1, {"cutoff": cutoff}, parent)
    )


def _checked_transitions(transitions: xr.Dataset, labels: Labels) -> xr.DataArray:
    """Return the transition probabilities between the states of `labels`."""
    remedy = "pass what ice.transitions returns for these labels"
    if not isinstance(transitions, xr.Dataset) or "probability" not in transitions.data_vars:
        raise InputError(
            "merge_states: expected transitions with probability (from, to), found "
            f"{type(transitions).__name__} without; {remedy}"
        )
    probability = transitions["probability"]
    n_states = probability.shape[0]
    if probability.dims != (FROM, TO) or probability.shape[1] != n_states:
        raise InputError(
            "merge_states: expected probability with the dimensions (from, to) of equal size, "
            f"found {dict(probability.sizes)}; {remedy}"
        )
    parents = transitions.attrs.get("parents")
    if parents is not None and labels.record.run_id not in parents:
        raise InputError(
            f"merge_states: expected the transitions of {labels.record.run_id}, found those of "
            f"{', '.join(parents) or 'nothing'}; {remedy}"
        )
    if labels.n_named > n_states:
        raise InputError(
            f"merge_states: expected transitions between the {labels.n_named} states of the "
            f"labels, found {n_states} states; {remedy}"
        )
    return probability


def states_tree(rows: FloatArray) -> tuple[LabelArray, FloatArray]:
    """Return the states whose rows of probabilities have a correlation, and their linkage."""
    # NaN compares as false.
    leaves = np.flatnonzero(np.ptp(rows, axis=1) > _CONSTANT) if len(rows) else np.empty(0)
    if len(leaves) < 2:
        return leaves.astype(np.int32), np.empty((0, 4))
    return leaves.astype(np.int32), hierarchy.linkage(pdist(rows[leaves], "correlation"), "average")


def macro_states(
    n_states: int, leaves: LabelArray, linkage: FloatArray, cutoff: float
) -> LabelArray:
    """Return the new number of each state, the same for all leaves of a branch below `cutoff`."""
    # Smallest member of the branch of each state.
    smallest = np.arange(n_states)
    if len(linkage):
        branch = hierarchy.fcluster(linkage, cutoff, criterion="distance")
        for number in np.unique(branch):
            members = leaves[branch == number]
            smallest[members] = members.min()
    return np.unique(smallest, return_inverse=True)[1].astype(np.int32)


def renumbered(block: LabelArray, macro: LabelArray) -> LabelArray:
    """Return labels with their new numbers; negative ones are unchanged."""
    largest = block.max(initial=-1)
    if largest >= len(macro):
        raise InputError(
            f"merge_states: expected labels below {len(macro)}, the number of states in the "
            f"transitions, found {largest}; pass the transitions of these labels"
        )
    if len(macro) == 0:
        return block
    return np.where(block >= 0, macro[np.maximum(block, 0)], block)


def _names(labels: Labels, macro: LabelArray) -> dict[str, object]:
    """Return the names of the new states: the joined names of their members."""
    known = labels.names
    if not known:
        return {}
    names = [
        "+".join(known.get(int(state), str(state)) for state in np.flatnonzero(macro == new))
        for new in range(int(macro.max(initial=-1)) + 1)
    ]
    return {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}
