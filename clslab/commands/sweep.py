"""`python -m clslab sweep FILE`: record the runs that a sweep file names."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clslab.executors import KINDS, opened
from clslab.recipe import Recipe, read_toml

if TYPE_CHECKING:
    from clslab.sweeps import SweepReport


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says.

    Attributes:
        recipes: by name; the seed in them is not used.
        seeds: by name.
        test: whether the runs open their test split; a search for settings must not.
    """

    recipes: dict[str, Recipe]
    seeds: dict[str, tuple[int, ...]]
    test: bool = True

    @classmethod
    def read(cls, source: str | Path) -> SweepFile:
        """Reads a sweep file, or its text.

            seeds = [0, 1, 2]
            test = false               # a search for settings: validation only (true where it is left out)

            [defaults]                 # fields of a recipe for every run
            data = "debris"

            [runs."debris/head"]       # fields that this run changes; options are merged key by key
            train_part = "head"
            seeds = [0, 1, 2, 3, 4]    # this run's own seeds, where it needs others

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is no TOML, holds an unknown entry, or a recipe in it is wrong; the message names the run.
        """
        from clslab.records import record_path  # here, so that `clslab --help` loads no scikit-learn

        content = read_toml(source)
        unknown = sorted(set(content) - {"seeds", "test", "defaults", "runs"})
        if unknown:
            raise ValueError(f"a sweep file holds seeds, test, defaults and runs, not {', '.join(unknown)}")
        test = content.get("test", True)
        if not isinstance(test, bool):
            raise ValueError(f"test = {test!r} in the sweep file has to be true or false")
        runs, shared = content.get("runs", {}), _seeds(content.get("seeds"), "the sweep file")
        if not isinstance(runs, dict) or not runs:
            raise ValueError('the sweep file names no run; add a table such as [runs."debris/head"]')
        recipes, seeds = {}, {}
        for name, changes in runs.items():
            record_path(".", name, 0)  # refuses names that are no path
            if not isinstance(changes, dict):
                raise ValueError(f'runs."{name}" is no table; write [runs."{name}"] and its fields below')
            fields = dict(changes)
            seeds[name] = _seeds(fields.pop("seeds"), name) if "seeds" in fields else shared
            recipes[name] = _recipe(name, content.get("defaults", {}), fields)
        return cls(recipes, seeds, test)

    def only(self, pattern: str) -> SweepFile:
        """The runs whose name fits a shell pattern.

        Raises:
            ValueError: if none does; the message lists the names.
        """
        kept = {name: recipe for name, recipe in self.recipes.items() if fnmatch(name, pattern)}
        if not kept:
            raise ValueError(f"no run fits {pattern!r}; the file names {', '.join(self.recipes)}")
        return SweepFile(kept, {name: self.seeds[name] for name in kept}, self.test)


def register(subparsers: Any) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser(
        "sweep",
        help="record the runs that a sweep file names",
        description="Records every run of a sweep file with every seed, one JSON file per run. It can be interrupted "
        "and called again: what is recorded is kept.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="sweep file, such as book/sweeps/features.toml")
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="folder of records; by default ../results beside the file's folder"
    )
    parser.add_argument("--only", metavar="PATTERN", default="*", help='runs whose name fits, such as "debris/*"')
    parser.add_argument("--list", action="store_true", help="say what is recorded and what is not, and train nothing")
    parser.add_argument("--redo", action="store_true", help="record again what is recorded")
    parser.add_argument(
        "--executor",
        choices=KINDS,
        default="local",
        help="where the runs are done: here one after the other (local), in processes of this machine, on a Dask or on "
        "a Slurm cluster; the machines have to share the folder of records",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="how many runs at once, for the executors but local")
    parser.add_argument(
        "--dask", metavar="ADDRESS", help="scheduler, such as tcp://node1:8786; by default one on this machine"
    )
    parser.add_argument(
        "--slurm-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="such as partition=gpu, timeout_min=60, gpus_per_node=1; can be given several times",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads of each run on the CPU; one with an executor but local"
    )
    parser.add_argument(
        "--memory-format",
        choices=("contiguous", "channels_last"),
        help="how pictures lie in memory; channels_last is faster for some networks and may change the last digits",
    )
    parser.add_argument(
        "--allow-stand-ins",
        action="store_true",
        help="allow runs on generated stand-ins in a folder that holds records on real data",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; 0 if every run has a record of its present recipe, 1 if not, 130 if it was interrupted."""
    plan = SweepFile.read(arguments.file).only(arguments.only)
    directory = arguments.results or results_beside(arguments.file)
    if arguments.list:
        return _list(plan, directory)
    if arguments.threads is not None and arguments.threads < 1:
        raise ValueError(f"--threads {arguments.threads} is out of range; give at least 1")
    if arguments.jobs is not None and arguments.jobs < 1:
        raise ValueError(f"--jobs {arguments.jobs} is out of range; give at least 1")
    try:
        report = _sweep(arguments, plan, directory)
    except KeyboardInterrupt:
        print("interrupted; what was finished is recorded, and the same command goes on from there")
        return 130
    print(report.describe())
    return 0 if report.complete else 1


def _sweep(arguments: argparse.Namespace, plan: SweepFile, directory: Path) -> SweepReport:
    from clslab import runs, sweeps  # here, so that --list starts at once

    here = arguments.executor == "local"
    threads = arguments.threads if here else arguments.threads or 1
    with sweeps.Settings(None, threads, arguments.memory_format).in_force() as machine:
        where = "machine" if here else f"executor: {arguments.executor}, each run as on this machine"
        print(f"{where}: {machine.describe()}", flush=True)  # a long sweep is watched through a pipe
    with opened(
        arguments.executor,
        directory=directory.resolve(),
        jobs=arguments.jobs,
        threads=threads or 1,
        dask=arguments.dask,
        slurm_options=dict(_option(one) for one in arguments.slurm_option),
    ) as executor:
        return runs.sweep(
            plan.recipes,
            plan.seeds,
            executor,
            directory=directory,
            redo=arguments.redo,
            test=plan.test,
            allow_stand_ins=arguments.allow_stand_ins,
            threads=threads,
            memory_format=arguments.memory_format,
        )


def results_beside(file: Path) -> Path:
    """The folder of records that belongs to a sweep file: `book/results` for `book/sweeps/features.toml`."""
    return file.resolve().parent.parent / "results"


def _list(plan: SweepFile, directory: Path) -> int:
    from clslab.records import record_path, record_state

    missing = 0
    for name, recipe in plan.recipes.items():
        for seed in plan.seeds[name]:
            state = record_state(record_path(directory, name, seed), recipe, test=plan.test)
            missing += state != "recorded"
            print(f"{state:<9} {name} seed {seed} (key {recipe.key()})")
    print(f"{missing} runs without a record of their present recipe")
    return 0


def _recipe(name: str, defaults: Any, changes: Mapping[str, Any]) -> Recipe:
    if not isinstance(defaults, dict):
        raise ValueError(f"defaults = {defaults!r} is no table; write [defaults] and the fields below")
    fields = dict(defaults)
    for key, value in changes.items():
        both_tables = isinstance(value, dict) and isinstance(fields.get(key), dict)
        fields[key] = {**fields[key], **value} if both_tables else value
    if "seed" in fields:
        raise ValueError(f"{name} sets seed = {fields['seed']}; write seeds = [...] at the top or in the run")
    try:
        return Recipe.from_dict(fields)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _seeds(value: Any, where: str) -> tuple[int, ...]:
    whole = isinstance(value, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in value)
    if not whole or not value or len(set(value)) < len(value):
        raise ValueError(f"{where}: seeds = {value!r}; give a list of different whole numbers, such as [0, 1, 2]")
    return tuple(value)


def _option(text: str) -> tuple[str, Any]:
    """One `KEY=VALUE`, whole numbers as such.

    >>> _option("partition=gpu"), _option("timeout_min=60")
    (('partition', 'gpu'), ('timeout_min', 60))
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ValueError(f"--slurm-option {text} is not of the form KEY=VALUE, such as partition=gpu")
    return key, int(value) if value.isdigit() else value
