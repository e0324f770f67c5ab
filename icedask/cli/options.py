"""Options and commands from declared parameters."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from icedask.cli.words import in_options
from icedask.core.options import Option, Parameter
from icedask.core.text import did_you_mean
from icedask.errors import InputError

STORE = click.Path(path_type=Path)
_ITEMS: dict[Any, str] = {int: "integer", float: "number", str: "text"}


class _Parsed(click.ParamType):
    """A text that a function turns into a value, or raises ValueError."""

    def __init__(self, parse: Callable[[str], Any], name: str) -> None:
        self.parse, self.name = parse, name

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[Any]:
        try:
            return self.parse(value)
        except ValueError:
            self.fail(f"expected {self.name}, found {value!r}", param, ctx)


class _Number(click.ParamType):
    """A number; other text is refused with the help of the option, which has the unit."""

    name = "float"

    def __init__(self, option: Option) -> None:
        self.option = option

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            return float(value)
        except ValueError:
            unit = f" of {self.option.unit}" if self.option.unit else ""
            self.fail(
                f"expected a number{unit} alone, found {value!r} ({self.option.help.rstrip('.')})",
                param,
                ctx,
            )


class Command(click.Command):
    """Command whose errors name its options, not the arguments of a function."""

    def invoke(self, ctx: click.Context) -> Any:
        """Call the function of the command."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            flags = {
                param.name: param.opts[0]
                for param in self.params
                if isinstance(param, click.Option) and param.name
            }
            raise type(error)(in_options(str(error), flags)) from error


def _list_type(parameter: Parameter) -> _Parsed:
    """Return the type of items between commas; the fields of an item stand between colons."""

    def item(text: str) -> Any:
        if not parameter.fields:
            return parameter.item(text)
        pairs = zip(parameter.fields, text.split(":"), strict=True)
        return tuple(field.type(part) for field, part in pairs)

    name = ":".join(field.name for field in parameter.fields) or _ITEMS[parameter.item]
    return _Parsed(lambda text: [item(part) for part in text.split(",")], f"{name},...")


def _mapping_type(parameter: Parameter) -> _Parsed:
    """Return the type of pairs KEY=VALUE between commas; a key without value has None."""

    def parse(text: str) -> dict[str, Any]:
        pairs = dict(pair.split("=", 1) for pair in text.split(","))
        if "" in pairs:
            raise ValueError
        return {key: parameter.item(value) if value else None for key, value in pairs.items()}

    return _Parsed(parse, "KEY=VALUE,...")


def _joined(default: Any) -> Callable[..., Any]:
    """Return a callback that joins the lists, or the mappings, of an option given several times."""

    def join(ctx: click.Context, param: click.Parameter, values: Sequence[Any]) -> Any:
        if values and isinstance(values[0], Mapping):
            return {key: value for part in values for key, value in part.items()}
        return [item for part in values for item in part] or default

    return join


def parameter_option(parameter: Parameter, flag: str = "") -> click.Option:
    """Return the option of a command that sets a parameter, called `flag` or like the parameter."""
    option, default, kind = parameter.option, parameter.default, parameter.type
    flag = flag or f"--{parameter.name.replace('_', '-')}"
    unit = f" [{option.unit}]" if option.unit else ""
    attrs: dict[str, Any] = {"help": parameter.help + unit, "metavar": option.metavar or None}
    if parameter.required:
        attrs["required"] = True
    elif kind not in (list, dict):
        attrs |= {"default": default, "show_default": default is not None}
    if kind is bool:
        flag = f"{flag}/--no-{flag[2:]}"
    elif option.parse is not None:
        attrs["type"] = _Parsed(option.parse, option.metavar)
    elif option.choices:
        attrs["type"] = click.Choice(option.choices)
    elif kind in (list, dict):
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else False
        attrs |= {"multiple": True, "callback": _joined(default), "show_default": shown}
        attrs["type"] = _list_type(parameter) if kind is list else _mapping_type(parameter)
    else:
        number = _Number(option)
        types = {os.PathLike: click.Path(), complex: number, float: number, Any: str}
        attrs["type"] = types.get(kind, kind)
    return click.Option([flag, parameter.name], **attrs)


def command_of(
    name: str,
    run: Callable[..., Any],
    summary: str,
    parameters: Sequence[Parameter],
    arguments: Sequence[click.Argument] = (),
    flags: Mapping[str, str] | None = None,
) -> click.Command:
    """Return a command with an option for each parameter, and those that decorate the function.

    Options that are not called like their parameter have their name in `flags`.
    """
    command = Command(name, callback=run, help=summary)
    command.params = [
        *arguments,
        *(parameter_option(each, (flags or {}).get(each.name, "")) for each in parameters),
        # Decorators leave theirs from the last to the first.
        *reversed(getattr(run, "__click_params__", [])),
    ]
    return command


class RegistryGroup(click.Group):
    """The entries of a registry, each with name, parameters and function, as subcommands.

    The command of an entry calls the function that `action` returns for it.
    """

    kind = "entry"
    arguments: tuple[click.Argument, ...] = ()

    def __init__(self, action: Callable[[Any], Callable[..., Any]], **attrs: Any) -> None:
        super().__init__(**attrs)
        self.action = action

    @staticmethod
    def entries() -> Mapping[str, Any]:
        """Return the registry."""
        raise NotImplementedError

    def find(self, name: str) -> Any:
        """Return an entry by its name with _ for -; None if there is none."""
        named = {known.replace("-", "_"): entry for known, entry in self.entries().items()}
        return named.get(name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the entries."""
        return list(self.entries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of one entry; - and _ are the same."""
        entry = self.find(cmd_name.replace("-", "_"))
        if entry is None:
            names = list(self.entries())
            hint = did_you_mean(cmd_name, names) or f"; there are {', '.join(names)}"
            raise click.UsageError(f"no {self.kind} {cmd_name!r}{hint}", ctx)
        summary = (entry.function.__doc__ or "").strip().splitlines()[0].replace("; lazy", "")
        return command_of(entry.name, self.action(entry), summary, entry.parameters, self.arguments)
