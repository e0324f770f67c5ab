"""The command line: each command parses, calls one public function and prints."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import dask

import icedask
from icedask.descriptors import registry
from icedask.descriptors.contract import Descriptor, Parameter
from icedask.errors import IcedaskError


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every computing command has."""
    function = click.option(
        "--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."
    )(function)
    return click.option(
        "--profile",
        default="local",
        show_default=True,
        help="local, the address of a Dask scheduler, or a scheduler file.",
    )(function)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(icedask.__version__, prog_name="icedask")
def cli() -> None:
    """Analyse molecular-dynamics trajectories of any size, in parallel."""


def _pairs(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str | None]:
    result: dict[str, str | None] = {}
    for value in values:
        for pair in value.split(","):
            key, equals, target = pair.partition("=")
            if not equals or not key:
                raise click.BadParameter(f"expected KEY=VALUE, found {pair!r}")
            result[key] = target or None
    return result


def _elements(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | dict[str, str | None] | None:
    if value is None or "=" not in value:
        return value
    return _pairs(context, parameter, (value,))


def _pbc(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[bool, bool, bool] | None:
    if value is None:
        return None
    if value != "none" and set(value) - set("xyz"):
        raise click.BadParameter(f"expected directions such as xyz or xy, or none, found {value!r}")
    return ("x" in value, "y" in value, "z" in value)


@cli.command()
@click.argument("source", nargs=-1, required=True)
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--topology", help="File with the atoms (tpr, gro, psf, ...).")
@click.option("--select", help='Atoms to keep, for example "element O".')
@click.option("--frames", help="Frames to keep, start:stop:step.")
@click.option("--units", help="Units of a LAMMPS dump: real, metal or lj.")
@click.option("--timestep", type=float, help="Time step of a LAMMPS dump, in its unit of time.")
@click.option("--frame-interval", type=float, help="Picoseconds between frames, other formats.")
@click.option("--elements", callback=_elements, help="O for all atoms, or 1=O,2=H by type or name.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    callback=_pairs,
    help="Name for a per-atom column, c_e=potential_energy; c_e= drops it.",
)
@click.option("--pbc", callback=_pbc, help="Periodic directions, xyz, xy, ... or none.")
@click.option("--lj-sigma", type=float, help="Length of units lj, angstrom.")
@click.option("--lj-epsilon", type=float, help="Energy of units lj, eV.")
@click.option("--lj-tau", type=float, help="Time of units lj, picosecond.")
@click.option("--overwrite", is_flag=True, help="Replace a store that holds something else.")
@common
def ingest(
    source: tuple[str, ...], store: Path, profile: str, as_json: bool, **options: Any
) -> None:
    """Read trajectory files SOURCE into the new Zarr store STORE."""
    options["columns"] = options["columns"] or None
    with icedask.connect(profile):
        ds = icedask.ingest(list(source), store, **options)
    sizes = {"store": str(store), "frames": ds.sizes["frame"], "atoms": ds.sizes["atom"]}
    time = f", {ds['time'].values[0]:g} to {ds['time'].values[-1]:g} ps"
    click.echo(
        json.dumps(sizes)
        if as_json
        else f"{store}: {sizes['frames']} frames of {sizes['atoms']} atoms{time}"
    )


def _trajectory_summary(store: Path) -> dict[str, Any]:
    import numpy as np

    ds = icedask.open_trajectory(store)
    elements, counts = np.unique(ds["element"].values, return_counts=True)
    time = ds["time"].values
    return {
        "source": ds.attrs["source"],
        **({"labels": ds.attrs["labels"]} if "labels" in ds.attrs else {}),
        "frames": ds.sizes["frame"],
        "atoms": ds.sizes["atom"],
        "elements": {str(e): int(n) for e, n in zip(elements, counts, strict=True)},
        "time_ps": None if np.isnan(time).any() else [float(time[0]), float(time[-1])],
        "pbc": ds["pbc"].values.tolist(),
        "cell_angstrom": ds["cell"].values[0].tolist(),
        "variables": [str(name) for name in ds.data_vars],
    }


@cli.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
def info(store: Path, as_json: bool) -> None:
    """Show the trajectory and the runs of STORE."""
    from icedask.io.catalog import iter_runs

    summary = _trajectory_summary(store)
    runs = icedask.list_runs(store).reset_index()
    if as_json:
        click.echo(
            json.dumps({"trajectory": summary, "runs": json.loads(runs.to_json(orient="records"))})
        )
        return
    for key, value in summary.items():
        click.echo(f"{key:14s} {value}")
    click.echo(f"\n{len(runs)} runs")
    if len(runs):
        shown = runs[["run_id", "group", "label", "status", "created", "bytes"]]
        click.echo(shown.fillna("").to_string(index=False))
        click.echo()
        for _, attrs in iter_runs(store):
            options = [
                f"{k}={value}" for k, value in attrs["parameters"].items() if value is not None
            ]
            click.echo(f"{attrs['run_id']}: {', '.join(options) or 'no options'}")


@cli.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("run")
def remove(store: Path, run: str) -> None:
    """Delete the run RUN (id or label) from STORE."""
    icedask.remove_run(store, run)
    click.echo(f"{store}: removed {run}")


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


def _click_option(parameter: Parameter) -> click.Option:
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


def _describe_command(descriptor: Descriptor) -> click.Command:
    @click.pass_obj
    def run(
        store: Path,
        profile: str,
        as_json: bool,
        label: str | None,
        precision: int | None,
        **options: Any,
    ) -> None:
        trj = icedask.open_trajectory(store)
        lazy = descriptor.function(trj, **options)
        with icedask.connect(profile):
            saved = icedask.save(lazy, store, label=label, precision=precision)
        result = {
            "run_id": saved.attrs["run_id"],
            "label": saved.attrs.get("label"),
            "sizes": {str(dim): size for dim, size in saved.sizes.items()},
        }
        click.echo(json.dumps(result) if as_json else f"{store}: {result['run_id']}")

    summary = (descriptor.function.__doc__ or "").strip().splitlines()[0]
    command = click.Command(
        descriptor.name, callback=common(run), help=summary.replace("; lazy", "")
    )
    command.params = [
        *(_click_option(parameter) for parameter in descriptor.parameters),
        click.Option(["--label"], help="A name for the run."),
        click.Option(["--precision"], type=int, help="Bits of mantissa to keep."),
        *getattr(run, "__click_params__", []),
    ]
    return command


class _Descriptors(click.Group):
    """The registry as subcommands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(registry())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = registry().get(cmd_name.replace("-", "_"))
        if found is None:
            raise click.UsageError(
                f"no descriptor {cmd_name!r}; there are {', '.join(registry())}", ctx
            )
        return _describe_command(found)


@cli.group(cls=_Descriptors)
@click.argument("store", type=click.Path(path_type=Path))
@click.pass_context
def describe(context: click.Context, store: Path) -> None:
    """Compute a descriptor of the trajectory in STORE and save it there."""
    context.obj = store


def _list_simulations(as_json: bool) -> None:
    table = icedask.simulate.table()
    if as_json:
        click.echo(json.dumps(json.loads(table.reset_index().to_json(orient="records"))))
        return
    for name, systems in table.groupby(level="recipe", sort=False):
        first = systems.iloc[0]
        click.echo(f"{name}: {first['summary']}\n  source {first['source']}")
        for (_, system), row in systems.iterrows():
            sizes = [
                f"{row[f'{kind}atoms']} atoms, {row[f'{kind}length_ns']:g} ns, "
                f"{_duration(row[f'{kind}core_minutes'])}"
                for kind in ("", "published_")
            ]
            mark = "*" if row["default"] else " "
            click.echo(f"  {mark} {system:6s} {row['model']:10s} {sizes[0]}; published {sizes[1]}")
        click.echo()
    click.echo("* made unless --system says otherwise; times are of one core")


def _duration(minutes: float) -> str:
    if minutes < 90:
        return f"{minutes:.2g} min"
    return f"{minutes / 60:.2g} h" if minutes < 48 * 60 else f"{minutes / 1440:.2g} days"


@cli.command()
@click.argument("recipe", required=False)
@click.argument("out", type=click.Path(path_type=Path), required=False)
@click.option("--list", "show", is_flag=True, help="Say what can be simulated, and its cost.")
@click.option("--system", "systems", multiple=True, help="System of the recipe; may be repeated.")
@click.option("--published", is_flag=True, help="Published size and length, not minutes.")
@click.option("--replicas", type=int, default=1, show_default=True, help="Of each system.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first replica.")
@click.option("--temperature", type=float, help="In place of the recipe's. [K]")
@click.option("--pressure", type=float, help="In place of the recipe's. [bar]")
@click.option(
    "--length", type=float, help="Of the stage that keeps frames, or the way to a glass. [ps]"
)
@click.option("--interval", type=float, help="Between frames. [ps]")
@click.option("--cores", type=int, default=1, show_default=True, help="For each replica.")
@click.option("--dump", is_flag=True, help="Leave a LAMMPS text dump beside each store.")
@common
def simulate(
    recipe: str | None,
    out: Path | None,
    show: bool,
    systems: tuple[str, ...],
    profile: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Make trajectories: RECIPE into OUT, a store ending in .zarr or a folder of stores."""
    if show:
        _list_simulations(as_json)
        return
    if recipe is None or out is None:
        raise click.UsageError("expected RECIPE and OUT, or --list to see what there is")
    workers = {}
    if profile == "local":
        workers["n_workers"] = max(1, len(os.sched_getaffinity(0)) // max(options["cores"], 1))
    with icedask.connect(profile, **workers):
        table = icedask.simulate.run(recipe, out, systems=list(systems) or None, **options)
    failed = table[table["status"] != "complete"]
    if as_json:
        click.echo(table.rename_axis("replica").reset_index().to_json(orient="records"))
    else:
        click.echo(table.drop(columns="message").to_string())
        for name, message in table["message"].items():
            if message:
                click.echo(f"\n{name}: {message}", err=True)
    if len(failed):
        raise icedask.ComputeError(
            f"{len(failed)} of {len(table)} replicas failed: {', '.join(failed.index)}; the same "
            "command runs these again from their last restart files; delete "
            "the store of one to start it anew"
        )


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path), default="demo")
@common
def demo(folder: Path, profile: str, as_json: bool) -> None:
    """Run the main job on the shipped trajectory; results go to FOLDER (default: demo)."""
    from icedask.workflows.demo import demo as run_demo

    with icedask.connect(profile):
        result = run_demo(folder)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "store": str(result.store),
                    "figures": [str(path) for path in result.figures],
                    "states": result.table.to_dict(orient="index"),
                    "agreement": result.agreement,
                }
            )
        )
        return
    click.echo("\nStates of neighbour-averaged SOAP and their CHILL+ composition\n")
    formats = dict.fromkeys(result.table.columns, "{:.3f}".format)
    click.echo(result.table.to_string(formatters=formats))
    if result.agreement is not None:
        click.echo(
            f"\n{result.variance:.1%} of the variance in the latent space; labels of "
            f"{result.agreement['n']} held-out molecules agree with a fit that includes them: "
            f"adjusted Rand index {result.agreement['adjusted_rand']:.2f}"
        )
    click.echo("\nfigures  " + "\n         ".join(str(path) for path in result.figures))
    click.echo(f"store    {result.store}\n\nOpen it in Python:\n")
    click.echo("    import icedask as ice")
    click.echo(f'    states = ice.open_run("{result.store}", "states")')
    click.echo(f'    ice.list_runs("{result.store}")')


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit status 1 or 2."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("icedask").setLevel(logging.INFO)
    # It speaks of optional readers at every start.
    logging.getLogger("MDAnalysis").setLevel(logging.ERROR)
    # Read by distributed when it is first imported, here and in the workers.
    dask.config.set({"logging": {"distributed": "error"}})
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("icedask: interrupted; the same command continues the work", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (IcedaskError, OSError) as error:
        click.echo(f"icedask: {error}", err=True)
        sys.exit(1)
