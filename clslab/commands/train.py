"""`python -m clslab train RECIPE`: one run from its recipe to its record, by one process or by several."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clslab import recipes
from clslab.recipe import Recipe

if TYPE_CHECKING:
    from clslab.records import Run

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

OVERRIDES = {"threads": "CLSLAB_THREADS", "precision": "CLSLAB_PRECISION", "memory_format": "CLSLAB_MEMORY_FORMAT"}
"""Options that fix a part of what `clslab.device.choose` would measure, and the variable that says so."""

RECORD, CHECKPOINT, LOG = "run.json", "checkpoint.pt", "log.txt"


def register(subparsers: Subparsers) -> None:
    """Add `train`."""
    command = subparsers.add_parser(
        "train",
        help="train what a recipe says, and record the run",
        description="Trains, scores on validation and (once) on test, and writes run.json, checkpoint.pt and log.txt. "
        "Several processes: torchrun --nproc-per-node=2 -m clslab train RECIPE; batch_size of the recipe is that of "
        "all processes together.",
    )
    add = command.add_argument
    add("recipe", metavar="RECIPE", help=f"a TOML file, or one of {', '.join(recipes.names())}")
    add("--out", type=Path, metavar="DIR", help="folder of the run; default: runs/RECIPE-seed-SEED")
    add("--resume", action="store_true", help="go on from DIR/checkpoint.pt, or start where there is none yet")
    add("--seed", type=int, help="default: that of the recipe")
    add("--no-test", action="store_true", help="leave the test split closed: for runs among which you choose")
    add("--threads", type=int, metavar="N", help="threads on the CPU; default: measured")
    add("--precision", choices=("fp32", "bf16", "fp16"), help="default: the recipe's, or measured")
    add("--memory-format", choices=("contiguous", "channels_last"), help="default: measured")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command: 0 when the run is recorded, 130 when it was interrupted."""
    recipe = recipes.read(args.recipe)
    recipe = recipe if args.seed is None else recipe.replace(seed=args.seed)
    _check_precision(args, recipe)
    name = args.recipe if args.recipe in recipes.names() else Path(args.recipe).stem
    out = args.out or Path("runs") / f"{name}-seed-{recipe.seed}"
    from clslab import distributed

    with _fixed(args), distributed.joined():
        there = distributed.agreed([file for file in (RECORD, CHECKPOINT) if (out / file).exists()])
        if there and not args.resume:
            raise ValueError(f"{out} holds {' and '.join(there)} already; --resume goes on, --out takes another folder")
        if RECORD in there:
            if distributed.is_writer():
                print(f"finished before: {out / RECORD}")
            return 0
        if CHECKPOINT in there and any(getattr(args, option) is not None for option in OVERRIDES):
            given = ", ".join(f"--{option.replace('_', '-')}" for option in OVERRIDES if getattr(args, option))
            raise ValueError(f"a resumed run keeps the machine of its checkpoint; leave {given} out")
        with _printed(out / LOG, append=args.resume):
            return _train(recipe, out, resume=CHECKPOINT in there, test=not args.no_test)


def _train(recipe: Recipe, out: Path, *, resume: bool, test: bool) -> int:
    from clslab import distributed, runs
    from clslab.train import Log

    checkpoint, processes = out / CHECKPOINT, distributed.world().world_size
    print(f"run: {out}, seed {recipe.seed}, {processes} process{'' if processes == 1 else 'es'}")
    print(f"from: {checkpoint}" if resume else "from: the beginning")
    try:
        found = runs.execute(recipe, test=test, checkpoint=checkpoint, resume=checkpoint if resume else None, log=Log())
    except KeyboardInterrupt:
        print("Stopped by Ctrl-C. To go on: the same command with --resume")
        return 130
    _report(found)
    if distributed.is_writer():
        from clslab.records import write_record

        write_record(found.to_json(), out / RECORD)
    print(f"record: {out / RECORD}")
    return 0


def _report(found: Run) -> None:
    """The scores with their intervals, and the time."""
    from clslab.stats import wilson

    for split, scores in found.metrics.items():
        n = int(scores["n"])
        low, high = wilson(round(scores["accuracy"] * n), n)
        print(f"{split} accuracy: {scores['accuracy']:.4f} (n = {n:,}; 95 % interval {low:.4f} to {high:.4f})")
    print(f"time: {found.seconds_fit:.1f} s of training, {found.seconds_total:.1f} s in all")


def _check_precision(args: argparse.Namespace, recipe: Recipe) -> None:
    if args.precision is not None and recipe.precision not in ("auto", args.precision):
        raise ValueError(f"--precision {args.precision}, and the recipe fixes {recipe.precision}; leave the option out")
    if args.threads is not None and args.threads < 1:
        raise ValueError(f"--threads {args.threads} is out of range; give at least 1")


def _fixed(args: argparse.Namespace) -> AbstractContextManager[None]:
    """Hand the options that were given to `clslab.device.choose`, as long as the block lasts."""
    from clslab.executors import environment

    given: dict[str, Any] = {variable: getattr(args, option) for option, variable in OVERRIDES.items()}
    return environment({variable: str(value) for variable, value in given.items() if value is not None})


@contextlib.contextmanager
def _printed(log: Path, *, append: bool) -> Iterator[None]:
    """What is printed goes to the log too; of several processes only the first one prints."""
    from clslab import distributed
    from clslab.commands.transfer import copied_to

    if distributed.is_writer():
        log.parent.mkdir(parents=True, exist_ok=True)
        with copied_to(log, append=append):
            yield
    else:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
