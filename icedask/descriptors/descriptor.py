"""What a descriptor is: options declared once, a kernel over numpy arrays, an entry in a registry.

The signature of a descriptor's function is its declaration. Each option is annotated with an
`Option`: its unit, bounds and help drive validation, the run id, the command line and the
docstring. The function's body turns options into a `Kernel`; `lazy` turns that into a Dataset.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import update_wrapper
from typing import (
    Any,
    Concatenate,
    ParamSpec,
)

import numpy.typing as npt
import xarray as xr

from icedask.core.options import Parameter, checked, documented, parameters_of, plain_signature
from icedask.descriptors.frame import Frame

P = ParamSpec("P")


@dataclass(frozen=True)
class Kernel:
    """A kernel with its options bound, and the shape of what it returns.

    Attributes
    ----------
    compute
        For halo 0: Frame -> array (n_centers, *tail). Otherwise a window kernel:
        sequence -> array (n_centers, *tail), where the sequence holds what `keep` returned for a
        frame and for each of the `halo` frames that follow. Frames with fewer after them are NaN.
    dtype
        Of the result.
    cutoff
        Of the neighbour list that the kernel asks for, angstrom; None for no list.
    nearest
        Nearest neighbours that the kernel asks for; None for no such list.
    beyond
        Whether it needs the neighbours of neighbours too.
    reach
        Distance up to which the kernel lays out periodic images, angstrom.
    tail
        Name and coordinates of a third dimension.
    coords
        More coordinates along it.
    halo
        Frames after each frame that the kernel needs.
    keep
        Of a window kernel: Frame -> anything. It is called once for each frame and its results
        stay in memory for halo + 1 frames: it must not return the Frame or its neighbour lists.
    species
        Elements that count as environment; None for all but X.
    attrs
        Attributes of the variable.
    parameters
        Values that replace options in the record, where the kernel resolved a default.
    """

    compute: Callable[..., npt.NDArray[Any]]
    dtype: str
    cutoff: float | None = None
    nearest: int | None = None
    beyond: bool = False
    reach: float | None = None
    tail: tuple[str, int] | None = None
    coords: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    halo: int = 0
    keep: Callable[[Frame], Any] | None = None
    species: Sequence[str] | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Descriptor:
    """An entry of the registry.

    Attributes
    ----------
    name
        Of the public function.
    variable
        Name of its variable in `icedask.core.variables`.
    version
        Raised when the numbers change.
    parameters
        Its options.
    build
        The function's body: (trajectory, **options) -> Kernel.
    function
        The public function.
    """

    name: str
    variable: str
    version: int
    parameters: tuple[Parameter, ...]
    build: Callable[..., Kernel]
    function: Callable[..., xr.Dataset]

    def options(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option, checked, with defaults filled in."""
        return checked(self.name, self.parameters, values)


REGISTRY: dict[str, Descriptor] = {}


def descriptor(
    *, variable: str, version: int
) -> Callable[
    [Callable[Concatenate[xr.Dataset, P], Kernel]], Callable[Concatenate[xr.Dataset, P], xr.Dataset]
]:
    """Register a descriptor; see the module's docstring.

    Parameters
    ----------
    variable
        Name of the variable in `icedask.core.variables`.
    version
        Version of the algorithm.
    """

    def decorate(
        build: Callable[Concatenate[xr.Dataset, P], Kernel],
    ) -> Callable[Concatenate[xr.Dataset, P], xr.Dataset]:
        name = build.__name__

        def function(trj: xr.Dataset, /, *args: P.args, **kwargs: P.kwargs) -> xr.Dataset:
            from icedask.descriptors.lazy import describe

            return describe(trj, {name: kwargs})[name]

        update_wrapper(function, build)
        parameters = parameters_of(build)
        function.__signature__ = plain_signature(  # type: ignore[attr-defined]
            inspect.signature(build), parameters, xr.Dataset
        )
        trajectory = "trj : xarray.Dataset\n    A trajectory."
        function.__doc__ = documented(build.__doc__, parameters, trajectory)
        REGISTRY[name] = Descriptor(name, variable, version, parameters, build, function)
        return function

    return decorate
