"""What a descriptor is: options declared once, a kernel over numpy arrays, an entry in a registry.

The signature of a descriptor's function is its declaration. Each option is annotated with an
`Option`: its unit, bounds and help drive validation, the run id, the command line and the
docstring. The function's body turns options into a `Kernel`; `lazy` turns that into a Dataset.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import update_wrapper
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Concatenate,
    ParamSpec,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np
import numpy.typing as npt
import xarray as xr

from icedask.descriptors.frame import Frame
from icedask.errors import InputError

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
class Option:
    """One option of a descriptor, in the annotation of its parameter.

    In a list of tuples each field has an Option of its own, whose help is the field's name.
    """

    help: str
    unit: str = ""
    above: float | None = None
    below: float | None = None
    at_least: int | None = None
    at_most: int | None = None
    choices: tuple[str, ...] = ()


Cutoff = Annotated[float, Option("Cutoff radius.", "angstrom", above=0)]
Centers = Annotated[
    str | None,
    Option('Atoms to describe, a selection such as "element O"; all by default.'),
]
OwnSpecies = Annotated[
    Sequence[str] | None,
    Option("Elements that count as environment; those of the centres by default."),
]
Species = Annotated[
    Sequence[str] | None,
    Option("Elements that count as environment; all but X by default."),
]


# Beyond, or below its inverse, powers leave the range of floating-point numbers.
_LARGE = 1e15
_TYPES: dict[Any, str] = {float: "float", int: "int", str: "str", bool: "bool"}
_EXAMPLES: dict[Any, str] = {str: '["O", "H"]', int: "[4, 6]", float: "[0.5, 1.0]"}


def _is_ordinary(value: Any) -> bool:
    return bool(value == 0 or 1 / _LARGE <= abs(value) <= _LARGE)


@dataclass(frozen=True)
class Parameter:
    """An option with its name, type (of its items, for a list; of their fields) and default."""

    name: str
    type: type
    default: Any
    option: Option
    item: Callable[[Any], Any] = str
    fields: tuple[Parameter, ...] = ()

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is inspect.Parameter.empty

    @property
    def signature(self) -> str:
        """The names of the fields of an item."""
        return f"({', '.join(field.name for field in self.fields)})"

    @property
    def help(self) -> str:
        """The help of the option, with the units of fields."""
        units = [f"{field.name} {field.option.unit}" for field in self.fields if field.option.unit]
        return self.option.help + (f" Units: {', '.join(units)}." if units else "")

    def check(self, value: Any, owner: str) -> Any:
        """Return the value in its plain type.

        Raises
        ------
        InputError
            If it is of another type or out of bounds.
        """
        where = f"{owner}: {self.name}"
        if value is None and not self.required and self.default is None:
            return None
        if self.type is not list:
            return self._check_one(value, self.type, where)
        example = f"[{self.signature}, ...]" if self.fields else _EXAMPLES[self.item]
        if isinstance(value, str) or not isinstance(value, Iterable) or np.ndim(value) == 0:  # type: ignore[arg-type]
            raise InputError(f"{where}: expected a list such as {example}, found {value!r}")
        values = [self._check_item(item, where) for item in value]
        if not values:
            raise InputError(f"{where}: expected a list such as {example}, found an empty one")
        return values

    def _check_item(self, item: Any, where: str) -> Any:
        if not self.fields:
            return self._check_one(item, self.item, where)
        given = tuple(item) if isinstance(item, Iterable) and not isinstance(item, str) else ()
        if len(given) != len(self.fields):
            raise InputError(f"{where}: expected a list of {self.signature}, found {item!r} in it")
        return tuple(field.check(one, where) for field, one in zip(self.fields, given, strict=True))

    def _check_one(self, value: Any, kind: Callable[[Any], Any], where: str) -> Any:
        option = self.option
        unit = f" {option.unit}" if option.unit else ""
        if kind is bool:
            if not isinstance(value, bool | np.bool_):
                raise InputError(f"{where}: expected True or False, found {value!r}")
            return bool(value)
        if kind is str:
            if not isinstance(value, str):
                raise InputError(f"{where}: expected a string, found {value!r}")
            if option.choices and value not in option.choices:
                raise InputError(
                    f"{where}: expected one of {', '.join(option.choices)}, found {value!r}"
                )
            return value
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise InputError(f"{where}: expected a number{unit}, found {value!r}")
        if value != value or abs(value) == np.inf:
            raise InputError(f"{where}: expected a finite number{unit}, found {value!r}")
        if not _is_ordinary(value):
            raise InputError(
                f"{where}: expected a number{unit} from {1 / _LARGE:g} to {_LARGE:g} in size, or "
                f"zero, found {value!r}"
            )
        if kind is int and value != int(value):
            raise InputError(f"{where}: expected a whole number, found {value!r}")
        value = kind(value)
        if option.above is not None and not value > option.above:
            raise InputError(
                f"{where}: expected a number{unit} above {option.above:g}, found {value:g}"
            )
        if option.below is not None and not value < option.below:
            raise InputError(f"{where}: expected less than {option.below:g}{unit}, found {value:g}")
        if option.at_least is not None and value < option.at_least:
            raise InputError(f"{where}: expected at least {option.at_least}, found {value}")
        if option.at_most is not None and value > option.at_most:
            raise InputError(f"{where}: expected at most {option.at_most}, found {value}")
        return value

    @property
    def kind(self) -> str:
        """What kind of value it takes, in words."""
        items = self.signature if self.fields else _TYPES[self.item]
        if self.option.choices:
            return "{" + ", ".join(f'"{choice}"' for choice in self.option.choices) + "}"
        return _TYPES.get(self.type, f"sequence of {items}")

    def documentation(self) -> str:
        """Return the entry of a numpydoc Parameters section."""
        unit = f", {self.option.unit}" if self.option.unit else ""
        optional = "" if self.required else ", optional"
        default = "" if self.required or self.default is None else f" Default {self.default!r}."
        return f"{self.name} : {self.kind}{unit}{optional}\n    {self.help}{default}"


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

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return every option, checked, with defaults filled in."""
        names = [parameter.name for parameter in self.parameters]
        unknown = [name for name in given if name not in names]
        if unknown:
            raise InputError(
                f"{self.name}: has no option {unknown[0]!r}; its options are {', '.join(names)}"
            )
        options = {}
        for parameter in self.parameters:
            if parameter.name not in given and parameter.required:
                raise InputError(
                    f"{self.name}: {parameter.name} is required: {parameter.option.help}"
                )
            value = given.get(parameter.name, parameter.default)
            options[parameter.name] = parameter.check(value, self.name)
        return options


REGISTRY: dict[str, Descriptor] = {}


def _plain_type(hint: Any) -> tuple[type, type]:
    """Return the type of an option, and that of its items where it is a list."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = [one for one in get_args(hint) if one is not NoneType]
    if get_origin(hint) is Sequence:
        return list, get_args(hint)[0]
    return hint, str


def parameter(name: str, annotation: Any, default: Any) -> Parameter:
    """Return what a parameter annotated with an `Option` declares."""
    hint, option = get_args(annotation)[:2]
    kind, item = _plain_type(hint)
    fields = _fields(item) if get_origin(item) is tuple else ()
    return Parameter(name, kind, default, option, item, fields)


def _parameters(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    hints = get_type_hints(function, include_extras=True)
    given = list(inspect.signature(function).parameters.values())[1:]
    return tuple(parameter(one.name, hints[one.name], one.default) for one in given)


def _plain_signature(
    signature: inspect.Signature, parameters: Sequence[Parameter]
) -> inspect.Signature:
    """Return the signature with the types alone, without what `Option` says of them."""
    kinds = {one.name: one.kind for one in parameters}
    plain = [
        one.replace(annotation=kinds.get(name, xr.Dataset))
        for name, one in signature.parameters.items()
    ]
    return signature.replace(parameters=plain, return_annotation=xr.Dataset)


def _fields(item: Any) -> tuple[Parameter, ...]:
    declared = [get_args(hint)[:2] for hint in get_args(item)]
    return tuple(
        Parameter(option.help, kind, inspect.Parameter.empty, option) for kind, option in declared
    )


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
        parameters = _parameters(build)
        signature = inspect.signature(build)
        function.__signature__ = _plain_signature(signature, parameters)  # type: ignore[attr-defined]
        text = inspect.cleandoc(build.__doc__ or "")
        entries = "\n".join(
            ["trj : xarray.Dataset\n    A trajectory.", *(p.documentation() for p in parameters)]
        )
        function.__doc__ = text.replace("{parameters}", f"Parameters\n----------\n{entries}")
        REGISTRY[name] = Descriptor(name, variable, version, parameters, build, function)
        return function

    return decorate
