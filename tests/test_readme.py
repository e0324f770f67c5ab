"""The README and the pages of the guide: every line of their commands and scripts runs.

A page is a session: its blocks run in order, in one folder, on four frames of the shipped
trajectory under the name that the pages use. Only sizes differ from the text, see SIZES. Lines
that cannot run in a test (installation) or that take minutes (simulations) are checked against
the parser of the command line, as all others are too.
"""

from __future__ import annotations

import gzip
import itertools
import re
import shlex
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import ase
import click
import MDAnalysis
import numpy as np
import pytest
from ase.build import bulk
from click.exceptions import NoArgsIsHelpError
from click.testing import CliRunner
from conftest import DEMO_DUMP, DEMO_OPTIONS

import icedask as ice
from icedask import plot
from icedask.cli.program import cli
from icedask.hpc.submit import jobs

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "notebooks" / "guide"
DEPLOY = ROOT / "deploy"
PAGES = [ROOT / "README.md", DEPLOY / "README.md", *sorted(GUIDE.glob("*.md"))]
# Pages whose commands train, fit and draw for longer than a few seconds.
SLOW = {
    "README",
    "deploy",
    "structure-dynamics",
    "phases",
    "motifs",
    "simulate",
    "classifiers",
    "amorphous",
}
# Pages that make the store run.zarr themselves; others begin with one.
INGESTING = {"README", "ingest-formats"}
# Pages whose commands submit jobs.
SUBMITTING = {"cluster"}

RECIPES = ("nucleation", "ice-phases", "metals", "amorphous", "water-classes", "cu211")

# Text of a page, and what stands for it here. Workers are those of the session: no page starts
# its own, but for jobs. Numbers are of four frames of 4,096 molecules.
SIZES: dict[str, list[tuple[str, str]]] = {
    "README": [("ice.connect()", "None")],
    "structure-dynamics": [
        ("icedask run structure-dynamics", "icedask run structure-dynamics --window 0"),
        ('preset="ice-water")', 'preset="ice-water", window=0)'),
    ],
    "amorphous": [
        (
            "ice.workflows.amorphous(members)",
            'ice.workflows.amorphous(members, preset="quick", families=["soap-small"], '
            'described="soap-small", epochs=2)',
        ),
        ('ice.amorphous_ices("ices")', 'ice.amorphous_ices("ices", ["Ih", "HDA", "VII"])'),
    ],
    "motifs": [
        (
            "icedask run motifs",
            "icedask run motifs --epochs 2 --sample-size 1500 --min-cluster-size 0.05 "
            "--no-baselines",
        ),
        (
            'motifs(trj, "run.zarr")',
            'motifs(trj, "run.zarr", epochs=2, sample_size=1500, min_cluster_size=0.05, '
            "baselines=False)",
        ),
    ],
}
# Lines that are checked and not run: they install, take minutes, or need what no test has.
CHECKED = (
    "python3 -m venv",
    ".venv/bin/",
    "pip install",
    "deploy/test-slurm",
    ".ci/run",
    "icedask demo",
    "icedask watch run.zarr --follow",
    "icedask run amorphous ",
    *(f"icedask simulate {recipe} " for recipe in RECIPES),
)


class Block(NamedTuple):
    """Fenced block of a page: language, line of its first line, text."""

    language: str
    line: int
    text: str


def name_of(page: Path) -> str:
    """Name of a page in the tables above."""
    return page.stem if page.parent != DEPLOY else "deploy"


def blocks(page: Path) -> list[Block]:
    """Fenced blocks of a page in order."""
    text = page.read_text()
    matches = re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(m[1], text.count("\n", 0, m.start()) + 2, m[2]) for m in matches]


def commands(page: Path) -> list[tuple[int, str]]:
    """Line number and text of every command in the sh blocks of a page."""
    return [
        (block.line + number, line)
        for block in blocks(page)
        if block.language == "sh"
        for number, line in enumerate(block.text.splitlines())
        if line.strip() and not line.startswith("#")
    ]


def parse(arguments: list[str]) -> click.Context:
    """Context of a command of icedask, parsed and not invoked."""
    contexts: list[click.Context] = []
    with patch.object(click.Command, "invoke", lambda self, context: contexts.append(context)):
        cli.main(list(arguments), prog_name="icedask", standalone_mode=False)
    context = contexts[-1]
    if context.command.name == "submit":
        parse(list(context.params["command"]))
    if context.command.name == "simulate" and context.params["recipe"]:
        systems = ice.simulate.table().loc[context.params["recipe"]].index
        assert set(context.params["system"] or ()) <= set(systems), list(systems)
    return context


def check(line: str) -> None:
    """Check a command line without running it."""
    for words in split(line):
        program, *arguments = words
        if program in ("icedask", ".venv/bin/icedask"):
            parse(arguments)
        elif program in ("pip", ".venv/bin/pip"):
            check_installation(arguments)
        elif program.endswith(("python", "python3")):
            assert arguments[:2] in (["-m", "venv"], ["-m", "pytest"]) or (
                (ROOT / arguments[0]).is_file()
            )
            for path in (word for word in arguments if word.startswith(("tests/", "icedask/"))):
                assert (ROOT / path.partition("::")[0]).exists(), path
        elif program.startswith(("deploy/", ".ci/")):
            assert (ROOT / program).is_file()


def check_installation(arguments: list[str]) -> None:
    """Check that constraints and extras of an installation are there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert arguments[0] == "install"
    for option, value in itertools.pairwise(arguments):
        if option == "-c":
            assert (ROOT / value).is_file()
    for extra in re.findall(r"\.\[([\w,]+)\]", " ".join(arguments)):
        assert set(extra.split(",")) <= set(project["optional-dependencies"])


def split(line: str) -> Iterator[list[str]]:
    """Words of each command of a line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    words = list(lexer)
    for operator, group in itertools.groupby(words, lambda word: word in ("&&", "|", ";")):
        if not operator:
            yield list(group)


class Session:
    """A folder in which the lines of a page run in order."""

    def __init__(self, page: Path, folder: Path, scheduler: str) -> None:
        self.name = name_of(page)
        self.page = page
        self.folder = folder
        self.scheduler = scheduler
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def text(self, block: Block) -> str:
        """Text of a block with the sizes of a test."""
        text = block.text
        for old, new in SIZES.get(self.name, []):
            text = text.replace(old, new)
        return text

    def run(self) -> None:
        """Run every block; a failure names file and line."""
        if self.name in INGESTING:
            shutil.rmtree(self.folder / "run.zarr")
        for block in blocks(self.page):
            if block.language == "python":
                source = "\n" * (block.line - 1) + self.text(block)
                exec(compile(source, str(self.page), "exec"), self.names)
            elif block.language == "sh":
                for number, line in enumerate(self.text(block).splitlines()):
                    if line.strip() and not line.startswith("#"):
                        self.run_line(line, f"{self.page.name}:{block.line + number}")

    def run_line(self, line: str, where: str) -> None:
        """Run one command line, in this process where it is icedask's."""
        if line.startswith(CHECKED):
            return
        [words] = split(line)
        if words[0] != "icedask":
            done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{where}: {done.stderr}"
            return
        arguments = words[1:]
        takes_profile = any("--profile" in p.opts for p in parse(arguments).command.params)
        if takes_profile and "--profile" not in arguments:
            arguments += ["--profile", self.scheduler]
        result = CliRunner().invoke(cli, arguments, catch_exceptions=True)
        assert result.exit_code == 0, f"{where}: {result.output}{result.exception!r}"


@pytest.fixture(scope="session")
def small_dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames of the shipped dump, water and ice."""
    frames = gzip.decompress(DEMO_DUMP.read_bytes()).decode().split("ITEM: TIMESTEP\n")[1:]
    path = tmp_path_factory.mktemp("pages") / "run.lammpstrj.gz"
    text = "".join(f"ITEM: TIMESTEP\n{frame}" for frame in frames[-6:-2])
    path.write_bytes(gzip.compress(text.encode(), compresslevel=1))
    return path


@pytest.fixture(scope="session")
def small_store(small_dump: Path) -> Path:
    """Store of these frames, which pages begin with; not to be written to."""
    store = small_dump.parent / "run.zarr"
    ice.ingest(small_dump, store, **DEMO_OPTIONS)
    return store


@pytest.fixture
def folder(
    tmp_path: Path, small_dump: Path, small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Folder of a session: the dump, its store, deploy/, small files of other formats, a home."""
    shutil.copy(small_dump, tmp_path)
    shutil.copytree(small_store, tmp_path / "run.zarr")
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    write_small_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    for variable, value in {
        "HOME": str(tmp_path / "home"),
        "ICEDASK_HOME": str(tmp_path / "home" / "icedask"),
        "EDITOR": "true",
        "MPLBACKEND": "agg",
        # Jobs that fit the nodes of the test SLURM.
        "DASK_JOBQUEUE__SLURM__CORES": "1",
        "DASK_JOBQUEUE__SLURM__MEMORY": "700MiB",
        "DASK_JOBQUEUE__SLURM__WALLTIME": "00:10:00",
    }.items():
        monkeypatch.setenv(variable, value)
    return tmp_path


def write_small_files(folder: Path) -> None:
    """Write water.gro and .xtc, copper.extxyz, .xyz and .traj, a few frames of each."""
    residues = np.repeat(np.arange(8), 3)
    universe = MDAnalysis.Universe.empty(24, 8, atom_resindex=residues)
    universe.add_TopologyAttr("name", ["OW", "HW1", "HW2"] * 8)
    universe.add_TopologyAttr("resname", ["SOL"] * 8)
    universe.add_TopologyAttr("resid", np.arange(1, 9))
    grid = np.stack(np.meshgrid(*[[0.0, 5.0]] * 3), -1).reshape(-1, 1, 3)
    shape = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    positions = np.tile((grid + shape).reshape(-1, 3), (3, 1, 1))
    universe.load_new(positions, dt=1.0, dimensions=[10.0, 10.0, 10.0, 90.0, 90.0, 90.0])
    universe.atoms.write(folder / "water.gro")
    universe.atoms.write(folder / "water.xtc", frames="all")
    crystal = bulk("Cu", cubic=True) * (3, 3, 3)
    frames = []
    for seed in range(3):
        crystal.rattle(0.05, seed=seed)
        frames.append(crystal.copy())
    ase.io.write(folder / "copper.extxyz", frames)
    ase.io.write(folder / "copper.xyz", frames, format="xyz")
    ase.io.write(folder / "copper.traj", frames)


def expect_complete_jobs() -> None:
    """Wait until every submitted command has ended, and well."""
    deadline = time.monotonic() + 300
    while (table := jobs())["state"].isin(["pending", "running"]).any():
        assert time.monotonic() < deadline, table
        time.sleep(1)
    assert (table["state"] == "complete").all(), table


def marked(page: Path) -> Any:
    """A page as a parameter, slow where its session is."""
    slow = name_of(page) in SLOW | SUBMITTING
    return pytest.param(page, marks=[pytest.mark.slow] if slow else [], id=name_of(page))


@pytest.mark.parametrize("page", [marked(page) for page in PAGES])
def test_every_line_runs(
    page: Path, folder: Path, client: Any, request: pytest.FixtureRequest
) -> None:
    if name_of(page) in SUBMITTING:
        request.getfixturevalue("slurm")
    Session(page, folder, client.scheduler.address).run()
    expect_complete_jobs()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_parses(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, line in commands(page):
        try:
            check(line)
        except (click.ClickException, AssertionError, KeyError) as error:
            message = error.format_message() if isinstance(error, click.ClickException) else error
            pytest.fail(f"{page.name}:{number}: {line}: {message}", pytrace=False)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_sizes_stand_for_text_of_the_page(page: Path) -> None:
    text = page.read_text()
    for old, _ in SIZES.get(name_of(page), []):
        assert old in text, old


@pytest.mark.parametrize(
    "line",
    [
        "icedask plan describe run.zarr soap --workers 2",
        "icedask describe run.zarr soap --r-cutoff 6",
        "icedask describe soap run.zarr",
        "icedask run phase run.zarr",
        "icedask simulate ice-phases phases --system XX",
        "icedask simulate nothing run.zarr",
        "icedask submit --profile slurm -- describe soap run.zarr",
        'pip install -c deploy/constraints.txt ".[everything]"',
        "pip install -c deploy/nothing.txt .",
        ".venv/bin/python -m pytest tests/nothing",
    ],
)
def test_the_check_refuses(line: str) -> None:
    with pytest.raises((click.ClickException, AssertionError, KeyError)):
        check(line)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_names_and_links_are_there(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"`([^`]+)`", prose):
        # Words in capitals are placeholders.
        for name in re.findall(r"\bice\.([A-Za-z_]\w*)", code):
            assert hasattr(ice, name), code
        for name in re.findall(r"\bicedask\.plot\.(\w+)", code):
            assert hasattr(plot, name), code
        for path in re.findall(r"(?<!\S)(?:icedask|tests|deploy|notebooks)/[\w./-]+", code):
            assert re.search(r"[A-Z]{4}", path) or (ROOT / path).exists(), path
        if re.match(r"icedask [a-z]", code) and not re.search(r"[A-Z.]{3}|--help|STORE", code):
            # The name of a command alone, as prose has it, is enough.
            with suppress(click.MissingParameter, NoArgsIsHelpError):
                check(code)


def test_the_readme_is_short_and_has_the_commands_that_ci_runs() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 130
    demo, tests = (block.text for block in blocks(ROOT / "README.md")[:2])
    assert demo.startswith("python3 -m venv") and demo.endswith("icedask demo\n")
    assert tests.startswith("python3 -m venv") and "pytest" in tests
    script = next(block.text for block in blocks(ROOT / "README.md") if block.language == "python")
    assert len(script.splitlines()) <= 24


def test_every_page_is_linked_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for page in GUIDE.glob("*.md"):
        assert f"](notebooks/guide/{page.name})" in text, page.name
