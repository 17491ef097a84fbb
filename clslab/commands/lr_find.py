"""`python -m clslab lr-find RECIPE`: range tests of a recipe over several seeds, as a picture and a table."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clslab import recipes
from clslab.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from clslab.lr_finder import Spread
    from clslab.routes import Task

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

PICTURE, TABLE = "lr_curve.png", "lr_curve.csv"


def register(subparsers: Subparsers) -> None:
    """Add `lr-find`."""
    command = subparsers.add_parser(
        "lr-find",
        help="raise the learning rate step by step, and say where the loss falls and where it breaks",
        description="Raises the learning rate at every step, with several seeds, on training pictures only. "
        f"Writes {PICTURE} and {TABLE}, and prints what each rule suggests. A suggestion is where a search begins.",
    )
    add = command.add_argument
    add("recipe", metavar="RECIPE", help=f"a TOML file, or one of {', '.join(recipes.names())}")
    add("--seeds", type=int, default=5, metavar="N", help="range tests, seeds 0 to N-1; default: %(default)s")
    add("--out", type=Path, metavar="DIR", help="folder to write to; default: runs/RECIPE-lr-find")
    add("--start", type=float, default=1e-5, metavar="LR", help="first learning rate; default: %(default)g")
    add("--end", type=float, default=10.0, metavar="LR", help="last learning rate; default: %(default)g")
    add("--steps", type=int, default=100, metavar="N", help="batches of one test; default: %(default)s")
    add(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="FIELD=VALUE",
        help="change a field of the recipe, such as batch_size=64; can be given several times",
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command: 0 when both files are written."""
    recipe = recipes.changed(recipes.read(args.recipe), args.changes)
    if args.seeds < 1:
        raise ValueError(f"--seeds {args.seeds} is out of range; give at least 1, five show the spread")
    name = args.recipe if args.recipe in recipes.names() else Path(args.recipe).stem
    out = args.out or Path("runs") / f"{name}-lr-find"
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; give a folder")
    spread = _tested(recipe, args.seeds, start=args.start, end=args.end, steps=args.steps)
    out.mkdir(parents=True, exist_ok=True)
    _write_table(spread, out / TABLE)
    _report(spread)
    _write_picture(spread, name, out / PICTURE)
    print(f"written: {out / PICTURE}, {out / TABLE}")
    return 0


def _tested(recipe: Recipe, seeds: int, **options: Any) -> Spread:
    """A range test with each seed; all on the machine that was chosen for the first."""
    from clslab import optim
    from clslab.lr_finder import Spread, range_test
    from clslab.routes import Shelf, Task, before_training, training_indices

    shelf, machine, curves = Shelf(), None, {}
    splits = shelf.splits(recipe)
    for seed in range(seeds):
        seeded = recipe.replace(seed=seed)
        task = Task(seeded, splits, training_indices(splits, seeded), machine, shelf)
        model, batches, machine = before_training(task)
        if seed == 0:
            print(f"machine: {machine.describe()}")
        criterion, optimizer = _criterion(task, model), optim.create(seeded, model)
        curves[seed] = range_test(model, optimizer, criterion, batches, machine=machine, **options)
        print(f"seed {seed}: {len(curves[seed].lrs)} of {options['steps']} steps, {_ending(curves[seed].stopped)}")
    return Spread(curves)


def _criterion(task: Task, model: nn.Module) -> nn.Module:
    """The loss that training would begin with."""
    from clslab import levels, losses
    from clslab.models.multilayer import MultilayerNet

    if isinstance(model, MultilayerNet):
        if task.recipe.hierarchy["mode"] == "two-stage":
            raise ValueError(
                'hierarchy.mode = "two-stage" trains two networks one after the other, and a range test has one; test '
                'the rate of mode = "joint", which trains the same heads at once'
            )
        return levels.loss_of(task.recipe, len(model.parts))
    return losses.create(task.recipe, task.counts(), task.splits.taxonomy)


def _ending(stopped: str) -> str:
    words = {"end": "to the end", "diverged": "then the loss diverged", "not finite": "then the loss was not finite"}
    return words[stopped]


def _report(spread: Spread) -> None:
    """What each rule suggests on each seed, and how far the seeds are apart."""
    from clslab.lr_finder import RULES

    table = spread.to_frame()
    print(f"{'rule':12}" + "".join(f"{f'seed {seed}':>10}" for seed in spread.curves) + f"{'median':>10}{'factor':>10}")
    for rule in RULES:
        row = [*spread.suggestions(rule).values(), float(table["median"][rule])]
        factor = float(table["factor"][rule])
        apart = "–" if math.isnan(factor) else f"{factor:.1f}"
        print(f"{rule:12}" + "".join(f"{_number(lr):>10}" for lr in row) + f"{apart:>10}")
    for seed, why in _reasons(spread).items():
        print(f"seed {seed} suggests nothing by some rule: {why}")
    print("factor: highest over lowest. The minimum is where the loss is about to rise; it is not a suggestion.")


def _reasons(spread: Spread) -> dict[int, str]:
    """For each seed on which a rule finds nothing, the first reason."""
    from clslab.lr_finder import RULES, NoSuggestion

    reasons: dict[int, str] = {}
    for seed, curve in spread.curves.items():
        for rule in RULES:
            try:
                curve.suggest(rule)
            except NoSuggestion as nothing:
                reasons.setdefault(seed, str(nothing))
    return reasons


def _number(lr: float) -> str:
    return "–" if math.isnan(lr) else f"{lr:.3g}"


def _write_table(spread: Spread, path: Path) -> None:
    import pandas as pd

    frames = [curve.to_frame().assign(seed=seed) for seed, curve in spread.curves.items()]
    table = pd.concat(frames, ignore_index=True)[["seed", "lr", "loss", "smoothed"]]
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def _write_picture(spread: Spread, name: str, path: Path) -> None:
    from clslab import plots
    from clslab.lr_finder import RULES, NoSuggestion

    marks = {}
    for rule in RULES:
        try:
            marks[rule] = spread.median(rule)
        except NoSuggestion:
            continue  # the table says so; why, is said below it
    figure = plots.lr_curves(
        {name: [(curve.lrs, curve.smoothed) for curve in spread.curves.values()]},
        points={name: [(curve.lrs, curve.losses) for curve in spread.curves.values()]},
        marks=marks,
        footnote=f"{len(spread.curves)} seeds" + ("; marks: medians of what the rules suggest" if marks else ""),
        alt=f"Loss against learning rate in {len(spread.curves)} range tests of {name}.",
    )
    figure.savefig(path)
