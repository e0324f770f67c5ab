"""Declared options: one system of checked parameters for all functions, estimators and commands.

A parameter is declared once, in its annotation: `r_cut: Annotated[float, Option(...)]`. Validation,
the documentation, the command line and the run id follow from it.
"""

from __future__ import annotations

import inspect
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from icedask.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")

# Largest seed of scikit-learn's generators.
MAX_SEED = 2**32 - 1
# Beyond, or below its inverse, powers leave the range of floating-point numbers.
_LARGE = 1e15
_TYPES: dict[Any, str] = {
    float: "float",
    int: "int",
    str: "str",
    bool: "bool",
    os.PathLike: "path",
    complex: "int or float",
    Any: "object",
}
_EXAMPLES: dict[Any, str] = {
    str: '["O", "H"]',
    int: "[4, 6]",
    float: "[0.5, 1.0]",
    bool: "[True, True, False]",
}


@dataclass(frozen=True)
class Option:
    """Declaration of one parameter, in its annotation.

    In a sequence of tuples each field has an Option of its own, whose help is the field's name.

    Attributes
    ----------
    help, unit
        A noun phrase that stands alone, with a full stop; physical unit of the value.
    above, below, at_least, at_most
        Bounds of a number, or of each number in a sequence or mapping.
    choices
        Values of a string.
    check
        Function of a value and of the words that its message begins with, in place of the checks
        of the type: returns the value in its plain type, or raises InputError.
    parse, metavar
        Function of the text given on a command line that returns the value; form of the text.
    """

    help: str
    unit: str = ""
    above: float | None = None
    below: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    choices: tuple[str, ...] = ()
    check: Callable[[Any, str], Any] | None = None
    parse: Callable[[str], Any] | None = None
    metavar: str = ""


Cutoff = Annotated[float, Option("Cutoff radius.", "angstrom", above=0)]
Centers = Annotated[
    str | None,
    Option(
        'Atoms to describe, a selection such as "element O"; all by default. Coordinates are '
        "those of the first frame."
    ),
]
OwnSpecies = Annotated[
    Sequence[str] | None,
    Option("Elements that count as environment; by default the elements of the centres."),
]
Species = Annotated[
    Sequence[str] | None, Option("Elements that count as environment; all but X by default.")
]
RadialFunctions = Annotated[
    int, Option("Number of radial basis functions of SOAP.", at_least=1, at_most=12)
]
LargestDegree = Annotated[
    int, Option("Highest degree of the harmonics of SOAP.", at_least=0, at_most=12)
]
GaussianWidth = Annotated[
    float, Option("Width of SOAP's Gaussian on each atom.", "angstrom", above=0)
]
NearestCount = Annotated[
    int | None, Option("Number of nearest neighbours.", at_least=1, at_most=1000)
]
Delay = Annotated[int, Option("Frames from the earlier to the later one.", at_least=1)]
Precision = Annotated[str, Option("Precision of the result.", choices=("float32", "float64"))]
Seed = Annotated[int, Option("Seed of the random number generator.", at_least=0, at_most=MAX_SEED)]


@dataclass(frozen=True)
class Parameter:
    """An option with its name, type and default, `inspect.Parameter.empty` where there is none.

    The type is float, int, str, bool, os.PathLike, complex (int or float), list, dict or Any;
    `item` is the type of the items of a list, or of the values of a dict, and `fields` are the
    parameters of the items of a list of tuples.
    """

    name: str
    type: Any
    default: Any
    option: Option
    item: Any = str
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
        """Return the value in its plain type; InputError if of another type or out of bounds."""
        where = f"{owner}: {self.name}" if owner else self.name
        if value is None and not self.required and self.default is None:
            return None
        if self.option.check is not None:
            return self.option.check(value, where)
        if self.type is list:
            return self._check_list(value, where)
        if self.type is dict:
            return self._check_mapping(value, where)
        return self._check_one(value, self.type, where)

    def _check_list(self, value: Any, where: str) -> list[Any]:
        example = f"[{self.signature}, ...]" if self.fields else _EXAMPLES[self.item]
        if isinstance(value, str) or not isinstance(value, Iterable) or np.ndim(value) == 0:  # type: ignore[arg-type]
            raise InputError(f"{where}: expected a list such as {example}, found {value!r}")
        values = [self._check_item(item, where) for item in value]
        if not values:
            raise InputError(f"{where}: expected a list such as {example}, found an empty one")
        return values

    def _check_mapping(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InputError(
                f"{where}: expected a mapping from names to {_TYPES[self.item]}, found {value!r}"
            )
        return {
            str(key): self._check_one(item, self.item, f"{where}: {key}")
            for key, item in value.items()
        }

    def _check_item(self, item: Any, where: str) -> Any:
        if not self.fields:
            return self._check_one(item, self.item, where)
        values = tuple(item) if isinstance(item, Iterable) and not isinstance(item, str) else ()
        if len(values) != len(self.fields):
            raise InputError(f"{where}: expected a list of {self.signature}, found {item!r} in it")
        return tuple(
            field.check(value, where) for field, value in zip(self.fields, values, strict=True)
        )

    def _check_one(self, value: Any, kind: Any, where: str) -> Any:
        if kind is Any:
            return value
        if kind is bool:
            if not isinstance(value, bool | np.bool_):
                raise InputError(f"{where}: expected True or False, found {value!r}")
            return bool(value)
        if kind is os.PathLike:
            if not isinstance(value, str | os.PathLike):
                raise InputError(f"{where}: expected a path, found {value!r}")
            return os.fspath(value)
        if kind is str:
            return self._check_text(value, where)
        return self._check_number(value, kind, where)

    def _check_text(self, value: Any, where: str) -> str:
        if not isinstance(value, str):
            raise InputError(f"{where}: expected a string, found {value!r}")
        if self.option.choices and value not in self.option.choices:
            raise InputError(
                f"{where}: expected one of {', '.join(self.option.choices)}, found {value!r}"
            )
        return value

    def _check_number(self, value: Any, kind: Any, where: str) -> Any:
        unit = f" {self.option.unit}" if self.option.unit else ""
        number = isinstance(value, int | float | np.integer | np.floating)
        if isinstance(value, bool) or not number:
            raise InputError(f"{where}: expected a number{unit}, found {value!r}")
        if value != value or abs(value) == np.inf:
            raise InputError(f"{where}: expected a finite number{unit}, found {value!r}")
        size: Any = abs(value)
        if size and not 1 / _LARGE <= size <= _LARGE:
            raise InputError(
                f"{where}: expected a number{unit} from {1 / _LARGE:g} to {_LARGE:g} in size, or "
                f"zero, found {value!r}"
            )
        if kind is int and value != int(value):
            raise InputError(f"{where}: expected a whole number, found {value!r}")
        if kind is complex:
            kind = int if isinstance(value, int | np.integer) else float
        return self._check_bounds(kind(value), unit, where)

    def _check_bounds(self, value: Any, unit: str, where: str) -> Any:
        option = self.option
        if option.above is not None and not value > option.above:
            raise InputError(
                f"{where}: expected a number{unit} above {option.above:g}, found {value:g}"
            )
        if option.below is not None and not value < option.below:
            raise InputError(f"{where}: expected less than {option.below:g}{unit}, found {value:g}")
        if option.at_least is not None and value < option.at_least:
            raise InputError(f"{where}: expected at least {option.at_least}{unit}, found {value}")
        if option.at_most is not None and value > option.at_most:
            raise InputError(f"{where}: expected at most {option.at_most}{unit}, found {value}")
        return value

    @property
    def kind(self) -> str:
        """The type of its values, in words."""
        if self.option.choices:
            return "{" + ", ".join(f'"{choice}"' for choice in self.option.choices) + "}"
        if self.type is list:
            return f"sequence of {self.signature if self.fields else _TYPES[self.item]}"
        if self.type is dict:
            return f"mapping of str to {_TYPES[self.item]}"
        return _TYPES[self.type]

    def documentation(self) -> str:
        """Return the entry of a numpydoc Parameters section."""
        unit = f", {self.option.unit}" if self.option.unit else ""
        optional = "" if self.required else ", optional"
        default = "" if self.required or self.default is None else f" Default {self.default!r}."
        text = textwrap.fill(self.help + default, 92, break_long_words=False)
        return f"{self.name} : {self.kind}{unit}{optional}\n{textwrap.indent(text, '    ')}"


def _plain_type(hint: Any) -> tuple[Any, Any]:
    """Return the type of an option, and that of its items where it is a list or a mapping."""
    if get_origin(hint) in (Union, UnionType):
        members = [member for member in get_args(hint) if member is not NoneType]
        if set(members) == {int, float}:
            return complex, str
        paths = [member for member in members if (get_origin(member) or member) is os.PathLike]
        if paths:
            return os.PathLike, str
        if len(members) > 1:
            return Any, str
        (hint,) = members
    origin = get_origin(hint)
    if origin is Sequence:
        return list, get_args(hint)[0]
    if origin in (Mapping, dict):
        return dict, _plain_type(get_args(hint)[1])[0]
    return hint, str


def parameter(name: str, annotation: Any, default: Any) -> Parameter:
    """Return the parameter that an annotation with an `Option` declares."""
    hint, option = get_args(annotation)[:2]
    kind, item = _plain_type(hint)
    fields: tuple[Parameter, ...] = ()
    if get_origin(item) is tuple:
        declared = [get_args(field)[:2] for field in get_args(item)]
        fields = tuple(
            Parameter(option.help, kind, inspect.Parameter.empty, option)
            for kind, option in declared
        )
    return Parameter(name, kind, default, option, item, fields)


def parameters_of(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """Return the declared parameters of a function, in the order of its signature.

    Parameters without an `Option`, such as a Dataset or a store, are left out.
    """
    # To evaluate the annotation of a Dataset would import xarray, which takes a second.
    plain = SimpleNamespace()
    plain.__annotations__ = {
        name: hint
        for name, hint in function.__annotations__.items()
        if name != "return" and not str(hint).startswith("xr.")
    }
    declared = inspect.unwrap(function)
    space = getattr(declared, "__globals__", None) or vars(sys.modules[declared.__module__])
    hints = get_type_hints(plain, space, include_extras=True)
    return tuple(
        parameter(argument.name, hints[argument.name], argument.default)
        for argument in inspect.signature(function).parameters.values()
        if get_origin(hints.get(argument.name)) is Annotated
    )


def checked(
    owner: str, parameters: Sequence[Parameter], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the value of every parameter, checked, with defaults filled in.

    Raises InputError if a name is not known, a value is missing, of another type or out of bounds.
    """
    names = [parameter.name for parameter in parameters]
    for name in values:
        if name not in names:
            raise InputError(f"{owner}: has no option {name!r}; its options are {', '.join(names)}")
    options = {}
    for parameter in parameters:
        if parameter.name not in values and parameter.required:
            raise InputError(f"{owner}: {parameter.name} is required: {parameter.option.help}")
        options[parameter.name] = parameter.check(
            values.get(parameter.name, parameter.default), owner
        )
    return options


def documented(text: str | None, parameters: Sequence[Parameter], *first: str) -> str:
    """Return a docstring with the numpydoc entries of declared parameters.

    `{parameters}` becomes the whole section, with the entries `first` at its head; `{options}`
    becomes the entries alone, in a section that is written out.
    """
    entries = "\n".join([*first, *(parameter.documentation() for parameter in parameters)])
    section = f"Parameters\n----------\n{entries}"
    text = inspect.cleandoc(text or "")
    return text.replace("{parameters}", section).replace("{options}", entries)


def plain_signature(
    signature: inspect.Signature, parameters: Sequence[Parameter], returns: Any
) -> inspect.Signature:
    """Return a signature with types in words in place of annotations with an `Option`."""
    kinds = {parameter.name: parameter.kind for parameter in parameters}
    plain = [
        argument.replace(annotation=kinds.get(name, argument.annotation))
        for name, argument in signature.parameters.items()
    ]
    return signature.replace(parameters=plain, return_annotation=returns)


def takes_options(*first: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function whose options are to be checked, and listed in its docstring.

    Parameters
    ----------
    *first
        Entries of the docstring for parameters without an `Option`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        declared = parameters_of(function)

        @wraps(function)
        def checking(*args: P.args, **kwargs: P.kwargs) -> R:
            values = signature.bind(*args, **kwargs)
            for option in declared:
                if option.name in values.arguments:
                    value = option.check(values.arguments[option.name], function.__name__)
                    values.arguments[option.name] = value
            return function(*values.args, **values.kwargs)

        checking.__doc__ = documented(function.__doc__, declared, *first)
        checking.__signature__ = plain_signature(  # type: ignore[attr-defined]
            signature, declared, signature.return_annotation
        )
        return checking

    return decorate
