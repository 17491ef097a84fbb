"""`clslab transfer DATA_DIR LOGFILE`: a pre-trained network on a folder of one's own pictures.

What the beach plastic script of the course's fourth source did, with its mistakes put right: what is
trained is named and counted, frozen layers are still, training and validation show pictures at one
scale, the accuracy is counted and has an interval, and the test pictures are looked at once.

Taught in chapters 2 and 5.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from clslab.data.images import ImageDataset
    from clslab.device import Machine
    from clslab.models.transfer import Part, Transfer
    from clslab.recipe import Recipe
    from clslab.train import History

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

PARTS = ("head", "last-block", "all", "scratch")

LEARNING_RATES = {"head": 1e-3, "last-block": 3e-4, "all": 1e-4, "scratch": 1e-3}
"""Default learning rate (AdamW) by what is trained: borrowed weights are moved more gently."""

FRACTIONS = (0.6, 0.2, 0.2)
"""Train, validation and test shares of a folder that comes undivided."""

SOURCE_SETTINGS: dict[str, Any] = {
    "batch_size": 4,
    "epochs": 10,
    "optimizer": "sgd",
    "optimizer_options": {"momentum": 0.9},
    "lr": 0.001,
    "weight_decay": 0.0,
    "schedule": "step",
    "schedule_options": {"step_size": 7, "gamma": 0.1},
    "augment": "source-train",
    "image_size": 224,
}
"""The source's settings; the best validation weights are restored here in any case."""


# ------------------------------------------------------------------------------------ command line


def register(subparsers: Subparsers) -> None:
    """Add `transfer`."""
    command = subparsers.add_parser(
        "transfer",
        help="train a pre-trained network on your own folder of pictures",
        description="DATA_DIR holds train/, val/ (and test/) of class folders, or class folders alone, "
        "which are then split 60/20/20: by object where each has a folder of its own or metadata.csv names it, "
        "else at random.",
    )
    command.add_argument("data_dir", metavar="DATA_DIR", type=Path)
    command.add_argument("log_file", metavar="LOGFILE", type=Path, help="holds all that is printed")
    add = command.add_argument
    add("--backbone", default="efficientnet_lite0", help="default: %(default)s, which needs no network")
    add("--train", choices=PARTS, default="head", help="what is trained; default: %(default)s")
    add("--epochs", type=int, help="default: 10")
    add("--batch-size", type=int, help="default: 32")
    add("--lr", type=float, help="learning rate; default: by --train, 0.001 for the head")
    add("--image-size", type=int, metavar="PIXELS", help="default: what the backbone was trained on")
    add("--seed", type=int, default=0, help="default: %(default)s")
    add("--checkpoint", type=Path, metavar="FILE", help="write everything there after each epoch")
    add("--resume", type=Path, metavar="FILE", help="go on from that checkpoint; LOGFILE is continued")
    add(
        "--source-settings",
        action="store_true",
        help="the settings of the source: batch 4, SGD 0.001 with momentum 0.9, a tenth of it every 7 "
        "epochs, 10 epochs, its crops; options given besides win",
    )
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, with everything that is printed in the log file too."""
    _check_log_path(args.log_file, args.checkpoint or args.resume)
    with copied_to(args.log_file, append=args.resume is not None):
        return _transfer(args)


# --------------------------------------------------------------------------------------------- log


class Tee:
    """A text stream that writes to two others, so that a log file holds what the screen shows."""

    def __init__(self, screen: TextIO, file: IO[str]) -> None:
        self.screen, self.file = screen, file

    def write(self, text: str) -> int:
        """Write to both; the file at once, so that a killed run leaves its log."""
        self.screen.write(text)
        written = self.file.write(text)
        self.file.flush()
        return written

    def flush(self) -> None:
        """Flush both."""
        self.screen.flush()
        self.file.flush()


@contextlib.contextmanager
def copied_to(path: Path, *, append: bool = False) -> Iterator[None]:
    """Copy all that is printed to a file while the block runs, and the error that ends it, if any."""
    with (
        path.open("a" if append else "w", encoding="utf-8") as file,
        contextlib.redirect_stdout(cast(TextIO, Tee(sys.stdout, file))),
    ):
        try:
            yield
        except (ValueError, OSError) as error:
            file.write(f"error: {error}\n")
            raise


def _check_log_path(path: Path, checkpoint: Path | None) -> None:
    if path.is_dir():
        raise ValueError(f"LOGFILE {path} is a folder; name a file, such as {path / 'run.log'}")
    if path.suffix == ".pt":
        raise ValueError(f"LOGFILE {path} would be overwritten by the weights; end it in .log or .txt")
    weights = path.with_suffix(".pt")
    if checkpoint is not None and checkpoint.resolve() == weights.resolve():
        raise ValueError(
            f"the checkpoint {checkpoint} would be overwritten by the weights, which go to {weights}; give it, or "
            "LOGFILE, another name"
        )
    path.parent.mkdir(parents=True, exist_ok=True)


# -------------------------------------------------------------------------------------------- data


@dataclass
class Pictures:
    """The splits of a folder, untransformed."""

    train: ImageDataset
    val: ImageDataset
    test: ImageDataset | None


def read_pictures(folder: Path, *, seed: int) -> Pictures:
    """Read DATA_DIR in either of its two layouts, and say what was found.

    Args:
        folder: holds train/, val/ (and test/) of class folders, or class folders alone, which `clslab.data.own`
            splits by object where it finds objects.
        seed: of the split, where there is none.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: half a layout, an empty or single class, or classes that differ between splits.
    """
    from clslab.data.images import from_folder

    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}; check DATA_DIR")
    there = [name for name in ("train", "val", "test") if (folder / name).is_dir()]
    if not there:
        return _split(folder, seed)
    if "train" not in there or "val" not in there:
        raise ValueError(
            f"{folder} holds {' and '.join(f'{name}/' for name in there)} alone; it needs train/ and "
            "val/ (test/ if you like), or class folders without any of them"
        )
    train = from_folder(folder / "train")
    others = [from_folder(folder / name, classes=train.classes) for name in there[1:]]
    return Pictures(train, others[0], others[1] if len(others) > 1 else None)


def _split(folder: Path, seed: int) -> Pictures:
    from clslab.data import own
    from clslab.data.images import from_folder
    from clslab.data.splits import random_split

    if own.names_objects(folder):
        print(f"No train/ and val/ here: the pictures are split by object, 60/20/20, with seed {seed}.")
        return Pictures(**own.read(folder, seed=seed))
    everything = from_folder(folder)
    print(
        f"No train/ and val/ here: {len(everything):,} pictures are split at random, 60/20/20 within each "
        f"class, with seed {seed}.\n"
        "Warning: if several pictures show one object, they now stand on both sides, and the results "
        "will look better than they are. Then give each object a folder of its own inside its class."
    )
    parts = random_split(everything.targets, FRACTIONS, seed=seed)
    return Pictures(*(everything.subset(part) for part in parts))


def _describe(pictures: Pictures) -> None:
    """Counts per split and class, and what the largest class alone would score."""
    import numpy as np

    classes = pictures.train.classes
    print(f"classes: {', '.join(classes)}")
    for name, part in vars(pictures).items():
        if part is None:
            continue
        counts = np.bincount(part.targets, minlength=len(classes))
        missing = [label for label, count in zip(classes, counts, strict=True) if count == 0]
        if missing:
            raise ValueError(f"{name} has no picture of {', '.join(missing)}; each class needs some")
        listed = ", ".join(f"{label} {count:,}" for label, count in zip(classes, counts, strict=True))
        largest = f"largest class alone: accuracy {counts.max() / counts.sum():.3f}"
        print(f"{name:5} {len(part):,} pictures: {listed} ({largest})")


def _check_readable(pictures: Pictures) -> None:
    """Decode every picture once, so that a broken one is named now and not after the last epoch."""
    from clslab.data.images import BadImageError

    broken: list[str] = []
    for part in vars(pictures).values():
        for number in range(0 if part is None else len(part)):
            try:
                part.image(number)
            except BadImageError as error:
                broken.append(str(error))
    if broken:
        more = f"\n… and {len(broken) - 5} more" if len(broken) > 5 else ""
        raise BadImageError("\n".join(broken[:5]) + more)


# ---------------------------------------------------------------------------------------- training


def recipe_of(args: argparse.Namespace, image_size: int) -> Recipe:
    """The settings as a recipe: the defaults, or the source's, changed by the options that were given.

    Args:
        args: the parsed command line.
        image_size: the backbone's own size, where none is given.
    """
    from clslab.recipe import Recipe

    settings: dict[str, Any] = {
        "batch_size": 32,
        "epochs": 10,
        "lr": LEARNING_RATES[args.train],
        "augment": "crop-flip",
        "image_size": image_size,
    }
    if args.source_settings:
        settings |= SOURCE_SETTINGS
    given = {name: getattr(args, name) for name in ("batch_size", "epochs", "lr", "image_size")}
    settings |= {name: value for name, value in given.items() if value is not None}
    return Recipe(
        data=args.data_dir.resolve().name,
        model=args.backbone,
        train_part=args.train,
        pretrained=args.train != "scratch",
        seed=args.seed,
        **settings,
    )


def _transfer(args: argparse.Namespace) -> int:
    started = time.perf_counter()
    from clslab import device, seeds
    from clslab.checkpoint import read_checkpoint

    # What is resumed goes on as it began: with the precision, the threads and the device of its checkpoint.
    resumed = None if args.resume is None else read_checkpoint(args.resume)["machine"]
    machine = device.choose() if resumed is None else device.Machine.from_dict(resumed)
    print(f"machine: {machine.describe()}")
    seeds.seed_everything(args.seed)
    spec = _backbone(args.backbone)
    recipe = recipe_of(args, spec.image_size)
    pictures = read_pictures(args.data_dir, seed=args.seed)
    _describe(pictures)
    _check_readable(pictures)
    model = _model(args, recipe, len(pictures.train.classes))
    history = _fit(args, recipe, model, pictures, machine)
    if not history.records:
        print("Stopped before the first epoch ended: nothing was learnt, nothing is saved.")
        return 130
    _report_best(history, pictures)
    weights = _save(args, model, recipe, pictures.train.classes)
    if history.stopped == "interrupted":
        print(f"Stopped by Ctrl-C after {len(history)} epochs; the best weights so far are in {weights}.")
        if args.checkpoint or args.resume:
            print(f"To go on: the same command with --resume {args.checkpoint or args.resume}")
        return 130
    if pictures.test is not None:
        _report_test(model, recipe, pictures.test, machine)
    print(f"time: {_minutes(time.perf_counter() - started)}")
    return 0


def _backbone(name: str) -> Any:
    from clslab.models.transfer import BACKBONES

    if name not in BACKBONES:
        raise ValueError(f"there is no backbone {name!r}; known are {', '.join(BACKBONES)}")
    return BACKBONES[name]


def _model(args: argparse.Namespace, recipe: Recipe, num_classes: int) -> Transfer:
    """The network, with one line that names what is trained and counts it."""
    from clslab.models.transfer import build, trained_parameters

    part: Part = "all" if args.train == "scratch" else args.train
    model = build(args.backbone, num_classes=num_classes, pretrained=recipe.pretrained, train=part)
    trained = sum(trained_parameters(model).values())
    total = sum(parameter.numel() for parameter in model.parameters())
    start = "ImageNet weights" if recipe.pretrained else "random weights"
    what = {"all": "every layer", "scratch": "every layer"}.get(args.train, f"the {args.train}")
    print(f"model: {args.backbone} from {start}; trained: {what}, {trained:,} of {total:,} parameters")
    print(
        f"settings: {recipe.epochs} epochs, batch {recipe.batch_size}, {recipe.optimizer} at lr "
        f"{recipe.lr:g}, {recipe.schedule} schedule, pictures {recipe.image_size}x{recipe.image_size} "
        f"({recipe.augment}), seed {recipe.seed}"
    )
    return model


def _batches(dataset: ImageDataset, recipe: Recipe, augment: str, *, training: bool = False) -> Any:
    from clslab.data.loading import loader
    from clslab.data.transforms import photo

    seen = dataset.with_transform(photo(augment, size=recipe.image_size))
    # A last batch of one picture has no variance, which batch norm needs when it trains.
    lonely = training and len(seen) > recipe.batch_size > 1 and len(seen) % recipe.batch_size == 1
    return loader(seen, batch_size=recipe.batch_size, shuffle=training, seed=recipe.seed, drop_last=lonely)


def _fit(args: argparse.Namespace, recipe: Recipe, model: Transfer, pictures: Pictures, machine: Machine) -> History:
    from clslab.train import fit

    def say(record: dict[str, Any]) -> None:
        print(
            f"epoch {record['epoch']:2}/{recipe.epochs}  "
            f"train loss {record['train_loss']:.4f} accuracy {record['train_accuracy']:.4f}  "
            f"val loss {record['val_loss']:.4f} accuracy {record['val_accuracy']:.4f}  "
            f"{record['seconds']:.1f} s"
        )

    return fit(
        model,
        _batches(pictures.train, recipe, recipe.augment, training=True),
        _batches(pictures.val, recipe, "resize-crop"),
        recipe,
        machine=machine,
        on_epoch=say,
        checkpoint=args.checkpoint or args.resume,
        resume=args.resume,
    )


def _report_best(history: History, pictures: Pictures) -> None:
    best = next(record for record in history.records if record["epoch"] == history.best_epoch)
    n = len(pictures.val)
    print(
        f"best val accuracy: {_with_interval(round(best['val_accuracy'] * n), n)} in epoch "
        f"{best['epoch']}, whose weights are kept (the best of {len(history)} epochs flatters)"
    )


def _report_test(model: Transfer, recipe: Recipe, test: ImageDataset, machine: Machine) -> None:
    from clslab.train import Evaluation, evaluate

    counted = evaluate(model, _batches(test, recipe, "resize-crop"), machine=machine)
    assert isinstance(counted, Evaluation)
    print(f"test accuracy, measured once: {_with_interval(counted.correct, counted.count)}")


def _with_interval(correct: int, n: int) -> str:
    """An accuracy with its Wilson interval.

    >>> _with_interval(9, 10)
    '0.9000 (9 of 10; 95 % interval 0.596 to 0.982)'
    """
    from clslab.stats import wilson

    low, high = wilson(correct, n)
    return f"{correct / n:.4f} ({correct:,} of {n:,}; 95 % interval {low:.3f} to {high:.3f})"


def _save(args: argparse.Namespace, model: Transfer, recipe: Recipe, classes: tuple[str, ...]) -> Path:
    """Weights with what is needed to use them: class names, backbone, size."""
    import torch

    path = args.log_file.with_suffix(".pt")
    content = {
        "state_dict": model.state_dict(),
        "classes": list(classes),
        "backbone": args.backbone,
        "image_size": recipe.image_size,
        "recipe": recipe.to_toml(),
    }
    part = path.with_name(path.name + ".part")
    torch.save(content, part)
    part.replace(path)
    print(f"weights: {path}. They start from: {model.spec.weights}.")
    return path


def _minutes(seconds: float) -> str:
    """A duration as minutes and seconds.

    >>> _minutes(125.4)
    '2 min 5 s'
    """
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
