"""The kernel of a descriptor with its options bound, and the entry in the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy.typing as npt
import xarray as xr

from icedask.core.options import Option, Parameter, checked
from icedask.core.variables import Variable
from icedask.descriptors.frame import Frame
from icedask.kernels.neighbors import MAX_NEIGHBORS

# Of every descriptor with a cutoff.
MaxNeighbors = Annotated[
    int,
    Option(
        "Largest number of neighbours of an atom; more are taken for a mistake in the cutoff or "
        "the cell.",
        at_least=1,
    ),
]


@dataclass(frozen=True)
class Kernel:
    """A kernel with its options bound, and the shape of what it returns.

    Attributes
    ----------
    compute
        For halo 0: Frame -> array (n_centers[, width]). Otherwise a window kernel:
        sequence -> array (n_centers[, width]), where the sequence holds what `keep` returned for a
        frame and for each of the `halo` frames that follow. Frames with fewer after them are NaN.
    dtype
        Of the result.
    cutoff, nearest
        Cutoff, angstrom, of the neighbour list that the kernel asks for, or number of nearest
        neighbours; None for no such list.
    beyond
        Whether it needs the neighbours of neighbours too.
    reach
        Distance up to which the kernel lays out periodic images, angstrom.
    width, coords
        Length of a third dimension, None where the variable has two, and coordinates along it.
    halo, keep
        Frames after each frame that the kernel needs, and Frame -> anything. It is called once for
        each frame and its results stay in memory for halo + 1 frames: it must not return the Frame
        or its neighbour lists.
    species
        Elements that count as environment; None for all but X.
    max_neighbors
        Largest number of neighbours of an atom; more are an error.
    attrs, parameters
        Attributes of the variable; values that replace options in the record, where the kernel
        resolved a default.
    """

    compute: Callable[..., npt.NDArray[Any]]
    dtype: str
    cutoff: float | None = None
    nearest: int | None = None
    beyond: bool = False
    reach: float | None = None
    width: int | None = None
    coords: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    halo: int = 0
    keep: Callable[[Frame], Any] | None = None
    species: Sequence[str] | None = None
    max_neighbors: int = MAX_NEIGHBORS
    attrs: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tail(self) -> tuple[int, ...]:
        """The shape of the result of one centre."""
        return () if self.width is None else (self.width,)


@dataclass(frozen=True)
class Descriptor:
    """An entry of the registry.

    Attributes
    ----------
    name, function, parameters
        The public function and its options.
    variable, coords
        Specifications of its variable, and of coordinates that it alone has.
    version
        Raised when the numbers change.
    example
        Options with which it describes a small trajectory of oxygen atoms.
    build
        The function's body: (trajectory, **options) -> Kernel.
    """

    name: str
    variable: Variable
    coords: tuple[Variable, ...]
    version: int
    parameters: tuple[Parameter, ...]
    example: Mapping[str, Any]
    build: Callable[..., Kernel]
    function: Callable[..., xr.Dataset]

    def options(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option, checked, with defaults filled in."""
        return checked(self.name, self.parameters, values)


REGISTRY: dict[str, Descriptor] = {}
