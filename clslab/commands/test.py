"""`python -m clslab test RUN`: what a trained run scores on its test split, which is opened once."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from clslab.commands.train import CHECKPOINT, PREDICTIONS, RECORD

if TYPE_CHECKING:
    from clslab.device import Machine
    from clslab.records import Run

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

OTHER_ANSWERS = 0.01
"""Share of the validation pictures (or one of them) that a restored model may answer otherwise, on another device."""


def register(subparsers: Subparsers) -> None:
    """Add `test`."""
    command = subparsers.add_parser(
        "test",
        help="score a trained run on its test split, once",
        description="Opens the test split of a run that was trained with --no-test, records it, and reports what it "
        "scored. A run that opened it before is reported from its record: nothing is scored again.",
    )
    add = command.add_argument
    add("folder", metavar="RUN", type=Path, help="folder of a run, as train wrote it")
    add("--tensorboard", type=Path, metavar="DIR", help="default: the folder that train was given, if it was")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command: 0 when the scores are recorded and shown."""
    from clslab.records import read_record

    record = args.folder / RECORD
    if not record.is_file():
        raise FileNotFoundError(
            f"there is no {record}; train the run first: python -m clslab train RECIPE --out {args.folder} --no-test"
        )
    found = read_record(record)
    if found.opened_test:
        when = found.notes.get("test_opened", "a time that the record does not tell")
        print(f"the test split was opened before, at {when}; this is what was recorded then")
        board = args.tensorboard
    else:
        _open_test(found, args.folder)
        board = args.tensorboard or _noted_tensorboard(found, args.folder)
    report(found, args.folder, tensorboard=board)
    return 0


def report(found: Run, folder: Path, *, tensorboard: Path | None = None) -> None:
    """Print what a run scored on test, and write its table and figures beside the record.

    Args:
        found: a run whose test split was opened.
        folder: of the run.
        tensorboard: a folder for TensorBoard, if it is to have them too.

    Raises:
        ValueError: if the test split was not opened, or the file of probabilities belongs to another run.
    """
    from clslab.scorecard import Scorecard

    card = Scorecard.of_run(found, probabilities=folder / PREDICTIONS)
    for line in card.lines():
        print(line)
    if not card.has_curves:
        print(f"no ROC and PR curves: they need every probability, and there is no {folder / PREDICTIONS}")
    for path in card.write(folder):
        print(f"written: {path}")
    if tensorboard is not None:
        card.to_tensorboard(tensorboard, step=len(found.history))
        print(f"TensorBoard: {tensorboard}")


def _open_test(found: Run, folder: Path) -> None:
    """Score the restored model on the test split, and record it before anything is shown.

    A scoring that breaks off has shown nothing to anybody: it leaves the record as it was, and may be begun again.
    """
    import torch

    from clslab import runs
    from clslab.records import write_predictions, write_record
    from clslab.routes import Shelf, Task, network_scorer, restored, training_indices

    machine = _machine(found)
    torch.set_num_threads(machine.threads)
    shelf = Shelf()
    splits = shelf.splits(found.recipe)
    if splits.fingerprint != found.fingerprint:
        raise ValueError(
            f"{folder} was trained on other pictures ({found.source}) than those that are here ({splits.source}); test "
            "it where it was trained, with the same CLSLAB_DATA and CLSLAB_PROFILE"
        )
    task = Task(found.recipe, splits, training_indices(splits, found.recipe), machine, shelf)
    model = restored(task, folder / CHECKPOINT)
    scorer = network_scorer(model, found.recipe, machine, splits=splits)
    # A test split is not spent on weights that turn out to be others: they must answer validation as recorded.
    others = int((scorer(splits.val).argmax(axis=1) != found.predictions["val"].predicted).sum())
    if others > max(1, OTHER_ANSWERS * len(splits.val)):
        raise ValueError(
            f"the weights in {folder / CHECKPOINT} answer {others:,} of {len(splits.val):,} validation pictures "
            "otherwise than the record says; they are not those of this run, and the test split stays closed"
        )
    single_view = None
    if found.recipe.tta is not None:
        single_view = network_scorer(model, found.recipe.replace(tta=None), machine, splits=splits)
    runs.test_once(scorer, splits, found, single_view=single_view)
    write_predictions(found.predictions["test"], folder / PREDICTIONS)
    write_record(found.to_json(), folder / RECORD)
    print(f"the test split was opened now, for the only time; recorded in {folder / RECORD}")


def _machine(found: Run) -> Machine:
    """The machine of the run, or where its device is missing the one that is here."""
    import torch

    from clslab.device import Machine, choose

    kind, _, number = found.machine["device"].partition(":")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        if torch.cuda.is_available():  # there is one, but not so many
            here = Machine.from_dict(found.machine | {"device": "cuda"})
        else:
            here = choose(precision="fp32")
        print(f"trained on {found.machine['device']}, tested on {here.describe()}: last digits may differ")
        return here
    return Machine.from_dict(found.machine)


def _noted_tensorboard(found: Run, folder: Path) -> Path | None:
    noted_as = found.notes.get("tensorboard")
    return None if noted_as is None else Path(os.path.normpath(folder / noted_as))
