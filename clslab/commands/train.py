"""`python -m clslab train RECIPE`: one run from its recipe to its record, by one process or by several."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
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

RECORD, CHECKPOINT, LOG, PREDICTIONS = "run.json", "checkpoint.pt", "log.txt", "predictions.npz"


def register(subparsers: Subparsers) -> None:
    """Add `train`."""
    command = subparsers.add_parser(
        "train",
        help="train what a recipe says, and record the run",
        description="Trains, scores on validation and (once) on test, and writes run.json, checkpoint.pt, log.txt and, "
        "once test is opened, predictions.npz, which `clslab test` draws its curves from. "
        "Several processes: torchrun --nproc-per-node=2 -m clslab train RECIPE; batch_size of the recipe is that of "
        "all processes together.",
    )
    add = command.add_argument
    add("recipe", metavar="RECIPE", help=f"a TOML file, or one of {', '.join(recipes.names())}")
    add("--out", type=Path, metavar="DIR", help="folder of the run; default: runs/RECIPE-seed-SEED")
    add("--resume", action="store_true", help="go on from DIR/checkpoint.pt, or start where there is none yet")
    add(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        dest="changes",
        help="change a field of the recipe, such as lr=0.05, model_options.width=8 or tta=flip; FIELD= takes it back "
        "to its default; can be given several times",
    )
    add("--tensorboard", type=Path, metavar="DIR", help="write TensorBoard's files there: tensorboard --logdir DIR")
    add("--seed", type=int, help="default: that of the recipe")
    add("--no-test", action="store_true", help="leave the test split closed: for runs among which you choose")
    add("--threads", type=int, metavar="N", help="threads on the CPU; default: measured")
    add("--precision", choices=("fp32", "bf16", "fp16"), help="default: the recipe's, or measured")
    add("--memory-format", choices=("contiguous", "channels_last"), help="default: measured")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command: 0 when the run is recorded, 130 when it was interrupted."""
    recipe = recipes.changed(recipes.read(args.recipe), args.changes)
    recipe = recipe if args.seed is None else recipe.replace(seed=args.seed)
    _check_options(args, recipe)
    name = args.recipe if args.recipe in recipes.names() else Path(args.recipe).stem
    # Another setting is another run: the first digits of its key keep it apart from the recipe as shipped.
    changed = f"-{recipe.key()[:6]}" if args.changes else ""
    out = args.out or Path("runs") / f"{name}{changed}-seed-{recipe.seed}"
    from clslab import distributed

    with _fixed(args), distributed.joined():
        there = distributed.agreed([file for file in (RECORD, CHECKPOINT) if (out / file).exists()])
        if there and not args.resume:
            raise ValueError(f"{out} holds {' and '.join(there)} already; --resume goes on, --out takes another folder")
        if RECORD in there:
            _check_same_run(out / RECORD, recipe)
            if distributed.is_writer():
                print(f"finished before: {out / RECORD}")
            return 0
        if CHECKPOINT in there and any(getattr(args, option) is not None for option in OVERRIDES):
            given = ", ".join(f"--{option.replace('_', '-')}" for option in OVERRIDES if getattr(args, option))
            raise ValueError(f"a resumed run keeps the machine of its checkpoint; leave {given} out")
        with _printed(out / LOG, append=args.resume):
            return _train(recipe, out, resume=CHECKPOINT in there, test=not args.no_test, tensorboard=args.tensorboard)


def _train(recipe: Recipe, out: Path, *, resume: bool, test: bool, tensorboard: Path | None) -> int:
    from clslab import distributed, runs
    from clslab.train import Log

    checkpoint, processes = out / CHECKPOINT, distributed.world().world_size
    print(f"run: {out}, seed {recipe.seed}, {processes} process{'' if processes == 1 else 'es'}")
    print(f"from: {checkpoint}" if resume else "from: the beginning")
    try:
        found = runs.execute(
            recipe,
            test=test,
            checkpoint=checkpoint,
            resume=checkpoint if resume else None,
            log=Log(),
            tensorboard=tensorboard,
        )
    except KeyboardInterrupt:
        print("Stopped by Ctrl-C. To go on: the same command with --resume")
        return 130
    if tensorboard is not None:
        found.notes["tensorboard"] = _noted(tensorboard, out)
    _report(found)
    if distributed.is_writer():
        _write(found, out, tensorboard)
    print(f"record: {out / RECORD}")
    return 0


def _write(found: Run, out: Path, tensorboard: Path | None) -> None:
    """Keep the run: the probabilities on test first, so that a record never lacks them."""
    from clslab.records import write_predictions, write_record

    if "test" in found.predictions:
        write_predictions(found.predictions["test"], out / PREDICTIONS)
    write_record(found.to_json(), out / RECORD)
    if tensorboard is not None and "test" in found.predictions:
        from clslab.scorecard import Scorecard

        Scorecard.of_run(found).to_tensorboard(tensorboard, step=len(found.history))


def _noted(tensorboard: Path, folder: Path) -> str:
    """How a run's notes name the folder of its TensorBoard files: from the run's own folder where there is a way."""
    try:
        return Path(os.path.relpath(tensorboard, folder)).as_posix()
    except ValueError:  # on another drive of Windows
        return tensorboard.resolve().as_posix()


def _report(found: Run) -> None:
    """The scores with their intervals, and the time."""
    from clslab.stats import wilson

    for split, scores in found.metrics.items():
        n = int(scores["n"])
        low, high = wilson(round(scores["accuracy"] * n), n)
        print(f"{split} accuracy: {scores['accuracy']:.4f} (n = {n:,}; 95 % interval {low:.4f} to {high:.4f})")
    print(f"time: {found.seconds_fit:.1f} s of training, {found.seconds_total:.1f} s in all")


def _check_same_run(record: Path, recipe: Recipe) -> None:
    """Refuse to call a run finished that was made by another recipe."""
    from clslab.checkpoint import differences
    from clslab.records import read_record

    different = differences(read_record(record).recipe, recipe)
    if different:
        raise ValueError(
            f"{record} is the finished run of another recipe, it differs in {different}; give --out another folder, or "
            "resume with the recipe as it was"
        )


def _check_options(args: argparse.Namespace, recipe: Recipe) -> None:
    if args.precision is not None and recipe.precision not in ("auto", args.precision):
        raise ValueError(f"--precision {args.precision}, and the recipe fixes {recipe.precision}; leave the option out")
    if args.threads is not None and args.threads < 1:
        raise ValueError(f"--threads {args.threads} is out of range; give at least 1")
    if args.tensorboard is not None and importlib.util.find_spec("tensorboard") is None:
        raise ValueError(
            "--tensorboard needs the package tensorboard: pip install 'clslab[tensorboard]', or leave it out"
        )


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
