"""Options of commands from declared parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import click
import pytest
from click.testing import CliRunner

from icedask.cli.options import RegistryGroup, command_of
from icedask.cli.stores import ingest
from icedask.core.options import Option, parameters_of
from icedask.readers.ingest import PARAMETERS


def reversed_text(text: str) -> str:
    return text[::-1]


def declared(
    *,
    needed: Annotated[int, Option("Number.", "angstrom")],
    either: Annotated[int | float | None, Option("Time.", "ps")] = None,
    kind: Annotated[str, Option("Kind.", choices=("a", "b"))] = "a",
    flag: Annotated[bool, Option("Switch.")] = False,
    sizes: Annotated[Sequence[int], Option("Sizes.")] = (1, 2),
    weights: Annotated[Mapping[str, float] | None, Option("Weights.")] = None,
    parsed: Annotated[Any, Option("Parsed.", parse=reversed_text, metavar="TEXT")] = None,
) -> None:
    """Declare one parameter of each kind."""


def run(*arguments: str) -> tuple[dict[str, Any], str]:
    """Return the values that a command gets, and its output."""
    values: dict[str, Any] = {}
    parameters = parameters_of(declared)
    command = command_of("try", values.update, "Try.", parameters, flags={"weights": "--weight"})
    result = CliRunner().invoke(command, arguments)
    return values, result.output


def test_values_of_each_kind() -> None:
    values, _ = run("--needed", "3")
    assert values["needed"] == 3 and values["sizes"] == (1, 2) and values["kind"] == "a"
    assert values["either"] is values["weights"] is values["parsed"] is None
    values, _ = run(
        *("--needed", "3", "--either", "10", "--kind", "b", "--flag", "--sizes", "3,4"),
        *("--sizes", "5", "--weight", "a=1,b=2", "--weight", "c=3", "--parsed", "abc"),
    )
    assert values["sizes"] == [3, 4, 5] and values["flag"] is True and values["either"] == 10.0
    assert values["weights"] == {"a": 1.0, "b": 2.0, "c": 3.0} and values["parsed"] == "cba"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sizes", "1,x"], "expected integer,..., found '1,x'"),
        (["--weight", "a"], "expected KEY=VALUE,..., found 'a'"),
        (["--weight", "=1"], "expected KEY=VALUE,..., found '=1'"),
        (["--weight", "a=x"], "expected KEY=VALUE,..., found 'a=x'"),
        (["--kind", "c"], "'c' is not one of 'a', 'b'"),
        ([], "Missing option '--needed'"),
    ],
)
def test_wrong_values(arguments: list[str], words: str) -> None:
    needed = ["--needed", "1"] if arguments else []
    assert words in run(*needed, *arguments)[1]


def test_help_has_units_defaults_and_forms() -> None:
    text = run("--help")[1]
    for words in (
        "Number. [angstrom]",
        "--flag / --no-flag",
        "--sizes INTEGER,...",
        "--parsed TEXT",
    ):
        assert words in text
    assert "[default: (1,2)]" in text and "[required]" in text


def test_ingest_has_every_option_of_the_function() -> None:
    names = {name for parameter in ingest.params for name in parameter.opts}
    flags = {f"--{parameter.name.replace('_', '-')}" for parameter in PARAMETERS}
    assert flags - names == {"--columns"} and "--column" in names
    values: dict[str, Any] = {}
    command = command_of("ingest", values.update, "", PARAMETERS, flags={"columns": "--column"})
    text = "--elements 1=O,2=H --column c_e=potential_energy,q= --pbc xy --timestep 2 --frames :5"
    assert CliRunner().invoke(command, text.split()).exit_code == 0
    assert values["elements"] == {"1": "O", "2": "H"}
    assert values["columns"] == {"c_e": "potential_energy", "q": None}
    assert values["pbc"] == (True, True, False)
    assert (values["timestep"], values["frames"], values["overwrite"]) == (2.0, ":5", False)
    assert CliRunner().invoke(command, ["--elements", "O"]).exit_code == 0
    assert values["elements"] == "O" and values["columns"] is None


class Toys(RegistryGroup):
    kind = "toy"

    @staticmethod
    def entries() -> Mapping[str, Any]:
        class Entry:
            name, parameters, function = "a_toy", parameters_of(declared), declared

        return {"a_toy": Entry}


def test_registry_as_commands() -> None:
    seen: list[Any] = []

    def action(entry: Any) -> Any:
        return lambda **values: seen.append((entry.name, values))

    group = Toys(action=action, name="toys")
    runner = CliRunner()
    for name in ("a_toy", "a-toy"):
        assert runner.invoke(group, [name, "--needed", "1"]).exit_code == 0
    assert [name for name, _ in seen] == ["a_toy", "a_toy"] and seen[0][1]["needed"] == 1
    assert "no toy 'b'; there are a_toy" in runner.invoke(group, ["b"]).output
    assert "Declare one parameter of each kind" in runner.invoke(group, ["--help"]).output
    assert isinstance(group.get_command(click.Context(group), "a-toy"), click.Command)
