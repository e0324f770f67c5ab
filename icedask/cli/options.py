"""From the parameters of descriptors to options of commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from icedask.core.options import Parameter

_ITEMS: dict[Any, str] = {int: "integer", float: "number", str: "text"}


class _List(click.ParamType):
    """Items between commas; the fields of an item between colons."""

    def __init__(self, parameter: Parameter) -> None:
        self.fields, self.item = parameter.fields, parameter.item
        one = ":".join(field.name for field in self.fields)
        self.name = f"{one},..." if self.fields else f"{_ITEMS[self.item]},..."

    def _item(self, text: str) -> Any:
        if not self.fields:
            return self.item(text)
        parts = text.split(":")
        if len(parts) != len(self.fields):
            raise ValueError
        return tuple(field.type(part) for field, part in zip(self.fields, parts, strict=True))

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[Any]:
        try:
            return [self._item(part) for part in value.split(",")]
        except ValueError:
            expected = self.name if self.fields else "numbers between commas"
            self.fail(f"expected {expected}, found {value!r}", param, ctx)


def descriptor_option(parameter: Parameter) -> click.Option:
    """Return the option of a command that sets a parameter of a descriptor."""
    option = parameter.option
    kind: Any = parameter.type
    if kind is list:
        return _list_option(parameter)
    if option.choices:
        kind = click.Choice(option.choices)
    unit = f" [{option.unit}]" if option.unit else ""
    flag = f"--{parameter.name.replace('_', '-')}"
    if kind is bool:
        help_text = parameter.help + unit
        return click.Option(
            [f"{flag}/--no-{flag[2:]}", parameter.name],
            default=parameter.default,
            show_default=True,
            help=help_text,
        )
    names = [flag, parameter.name]
    if parameter.required:
        return click.Option(names, type=kind, required=True, help=parameter.help + unit)
    default = parameter.default
    return click.Option(
        names,
        type=kind,
        default=default,
        show_default=default is not None,
        help=parameter.help + unit,
    )


def _list_option(parameter: Parameter) -> click.Option:
    """Return an option that may be given several times: its lists are one."""
    default = parameter.default

    def joined(ctx: click.Context, param: click.Parameter, value: Sequence[list[Any]]) -> Any:
        return [item for part in value for item in part] or default

    unit = f" [{parameter.option.unit}]" if parameter.option.unit else ""
    return click.Option(
        [f"--{parameter.name.replace('_', '-')}", parameter.name],
        type=_List(parameter),
        multiple=True,
        required=parameter.required,
        callback=joined,
        show_default=",".join(map(str, default)) if isinstance(default, tuple) else False,
        help=parameter.help + unit,
    )
