"""From a recipe and pictures to a trained model: what each `train_part` does.

=============  ========================================================================================================
"head"         a new linear layer on the fixed backbone. Where a picture looks the same in every epoch its features
               are computed once and the layer is fitted to them: the same result in a fraction of the time
"last-block"   the head and the last block of the backbone
"all"          everything, from the borrowed weights (from random ones with `pretrained = false`)
"scratch"      everything, from random weights
"probe"        logistic regression or a linear SVM on the features of any one layer
"lp-ft"        a logistic probe becomes the head, then everything is trained (arXiv:2202.10054)
=============  ========================================================================================================

Two models need no network: "colour-numbers" (logistic regression on six numbers per picture) and "majority".

Taught in chapters 1 and 5.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import TensorDataset

from clslab import data, probes, seeds, train
from clslab.data.images import ImageDataset
from clslab.data.loading import loader
from clslab.data.splits import nested_subsets
from clslab.data.transforms import photo
from clslab.device import Machine
from clslab.models import transfer
from clslab.models.small import SmallCNN
from clslab.recipe import Recipe
from clslab.records import Predictions

Floats = NDArray[Any]
Scorer = Callable[[ImageDataset], Floats]
"""A trained model as a function from pictures to probabilities [N, C]."""

VIEWS = {
    "resize": "resize",
    "center-crop": "center-crop",
    "homework-crop": "homework-crop",
    "resize-crop": "resize-crop",
    "source-val": "source-val",
    # The whole picture, as without augmentation, so that recipes are compared on the same view.
    "crop-flip": "resize",
    "source-train": "source-val",
}
"""For each augmentation the view of a picture that validation and test use."""

PROBE_OPTIONS = ("layer", "classifier", "folds", "split")
"""The `model_options` that a probe reads; the others are the backbone's."""

BASELINES = ("majority", "colour-numbers")
SMALL_CNN = "small_cnn"

_CACHE_BYTES = 2**30  # decoded pictures beyond this are read again in every epoch
_CACHE_MARGIN = 1.25  # random crops are cut from pictures kept a quarter larger


@dataclass
class Trained:
    """What a route hands back.

    Attributes:
        scorer: the trained model as a function of untransformed pictures.
        val_probabilities: [N, C] on the validation split.
        seconds: of training, features included, without reading the pictures.
        parameters_trained: number of trained parameters.
        parameters_total: number of all parameters.
        history: one record per epoch.
        notes: further facts for the record.
        model: the network, where there is one.
        out_of_fold: of a cross-validation, what was said about every item of training and validation together; it is
            recorded in place of the validation split.
    """

    scorer: Scorer
    val_probabilities: Floats
    seconds: float
    parameters_trained: int
    parameters_total: int
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    model: nn.Module | None = None
    out_of_fold: Predictions | None = None


class Shelf:
    """What several runs may share in one process: the splits, decoded pictures and features.

    Pictures of one set are kept at a time. Features keep the seconds that each picture took, and every run that uses
    them is charged for its own pictures, so that its record shows what it would have cost alone.
    """

    def __init__(self) -> None:
        self._splits: tuple[Any, data.Splits] | None = None
        self._pictures: dict[tuple[str, str, int], ImageDataset] = {}
        self._features: dict[Any, tuple[Floats, NDArray[np.bool_], float]] = {}

    def splits(self, recipe: Recipe, *, profile: str | None = None, root: str | Path | None = None) -> data.Splits:
        """The splits of the recipe's data set, read once."""
        key = (recipe.data, recipe.variant, profile, root)
        if self._splits is None or self._splits[0] != key:
            self._pictures.clear()
            self._features.clear()
            self._splits = (key, data.load(recipe.data, variant=recipe.variant, root=root, profile=profile))
        return self._splits[1]

    def pictures(self, dataset: ImageDataset, split: str, geometry: str, size: int) -> ImageDataset | None:
        """A whole split decoded into memory, or `None` where it would not fit."""
        if len(dataset) * 3 * size**2 > _CACHE_BYTES:
            return None
        key = (split, geometry, size)
        if key not in self._pictures:
            self._pictures[key] = dataset.cache_pixels(size, geometry)
            while sum(_bytes(one) for one in self._pictures.values()) > _CACHE_BYTES and len(self._pictures) > 1:
                del self._pictures[next(iter(self._pictures))]  # the oldest
        return self._pictures[key]

    def features(
        self, key: Any, size: int, indices: NDArray[np.int64], compute: Callable[[NDArray[np.int64]], Floats]
    ) -> tuple[Floats, float]:
        """Features of the pictures at `indices` out of `size`, and the seconds that they took."""
        store, known, each = self._features.get(key, (np.empty((size, 0)), np.zeros(size, dtype=bool), 0.0))
        missing = indices[~known[indices]]
        if len(missing):
            started = time.perf_counter()
            fresh = compute(missing)
            seconds = time.perf_counter() - started
            if store.shape[1] == 0:
                store = np.empty((size, fresh.shape[1]), dtype=np.float32)
            each = (each * known.sum() + seconds) / (known.sum() + len(missing))
            store[missing], known[missing] = fresh, True
            self._features[key] = (store, known, each)
        return store[indices], each * len(indices)


@dataclass(frozen=True)
class Task:
    """One recipe on its data: what every route is given.

    Attributes:
        recipe: the settings.
        splits: the data.
        indices: the training pictures that are used.
        machine: where to compute.
        shelf: what is shared with other runs.
        on_epoch: called by `clslab.train.fit` after every epoch.
    """

    recipe: Recipe
    splits: data.Splits
    indices: NDArray[np.int64]
    machine: Machine
    shelf: Shelf
    on_epoch: Callable[..., Any] | None = None

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.splits.classes)

    @property
    def view(self) -> str:
        """The view that validation and test use."""
        return VIEWS[self.recipe.augment]

    def targets(self, split: str) -> NDArray[np.int64]:
        """[N] classes of the pictures used of "train" or "val"."""
        return self.splits.train.targets[self.indices] if split == "train" else self.splits.val.targets

    def seen(self, split: str) -> ImageDataset:
        """The pictures used of "train" or "val", in the view of validation and test."""
        whole = self.splits.train if split == "train" else self.splits.val
        cached = self.shelf.pictures(whole, split, self.view, self.recipe.image_size)
        if cached is None:
            chosen = whole.with_transform(photo(self.view, size=self.recipe.image_size))
        else:  # they have their size and crop already
            chosen = cached.with_transform(photo("resize", size=self.recipe.image_size))
        return chosen.subset(self.indices) if split == "train" else chosen

    def augmented(self) -> ImageDataset:
        """The training pictures as training sees them."""
        if self.recipe.augment == self.view:
            return self.seen("train")
        larger = round(self.recipe.image_size * _CACHE_MARGIN)
        cached = self.shelf.pictures(self.splits.train, "train", "short-side", larger)
        pictures = self.splits.train if cached is None else cached
        return pictures.with_transform(photo(self.recipe.augment, size=self.recipe.image_size)).subset(self.indices)

    def batches(self, dataset: Any, *, shuffle: bool = False) -> Any:
        """A loader in the batch size of the recipe, shuffled by its seed.

        A last training batch of a single picture is left out (another one in each epoch): it has no variance, which
        batch norm needs in training.
        """
        size, batch_size = len(dataset), self.recipe.batch_size
        lonely = shuffle and size > batch_size > 1 and size % batch_size == 1
        return loader(dataset, batch_size=batch_size, shuffle=shuffle, seed=self.recipe.seed, drop_last=lonely)


def training_indices(splits: data.Splits, recipe: Recipe) -> NDArray[np.int64]:
    """Which training pictures a recipe uses: all, or `recipe.subset` of each class.

    The subset is drawn within the training split by the run's seed, picture by picture and not by group: groups keep
    the splits apart, and inside one split they may be cut. With one seed a smaller subset lies inside a larger one.
    """
    if recipe.subset is None:
        return np.arange(len(splits.train))
    return np.asarray(nested_subsets(splits.train.targets, [recipe.subset], seed=recipe.seed)[0], dtype=np.int64)


def train_task(task: Task) -> Trained:
    """Trains what the recipe names, on the pictures that it names.

    Raises:
        ValueError: for a name that is unknown, or settings that do not go together.
    """
    recipe = task.recipe
    routes = {
        "head": _head,
        "last-block": _network,
        "all": _network,
        "scratch": _network,
        "probe": _probe,
        "lp-ft": _probe_then_all,
    }
    if recipe.train_part not in routes:
        raise ValueError(f"train_part = {recipe.train_part!r} is unknown; choose one of {', '.join(routes)}")
    if recipe.augment not in VIEWS:
        raise ValueError(f"augment = {recipe.augment!r} is unknown; choose one of {', '.join(VIEWS)}")
    seeds.seed_everything(recipe.seed)
    if recipe.model == "majority":
        return _majority(task)
    if recipe.model == "colour-numbers":
        return _colour_numbers(task)
    if recipe.model == SMALL_CNN and recipe.train_part not in ("all", "scratch"):
        raise ValueError(f'{SMALL_CNN} has no borrowed part; set train_part = "scratch", not {recipe.train_part!r}')
    return routes[recipe.train_part](task)


def _probabilities(model: nn.Module, batches: Any, machine: Machine) -> Floats:
    found, _ = train.predict(model, batches, machine=machine)
    if isinstance(found, tuple):
        raise ValueError("the model gives one output per level of labels; a run records models with a single one")
    return found.numpy()


def network_scorer(model: nn.Module, recipe: Recipe, machine: Machine) -> Scorer:
    """A network as a function from untransformed pictures to probabilities [N, C]."""
    if recipe.augment not in VIEWS:
        raise ValueError(f"augment = {recipe.augment!r} is unknown; choose one of {', '.join(VIEWS)}")
    view = photo(VIEWS[recipe.augment], size=recipe.image_size)

    def score(pictures: ImageDataset) -> Floats:
        batches = loader(pictures.with_transform(view), batch_size=recipe.batch_size)
        return _probabilities(model, batches, machine)

    return score


def _build(task: Task) -> transfer.Transfer:
    """The borrowed model that the recipe names, its part to train chosen."""
    recipe = task.recipe
    options = {name: value for name, value in recipe.model_options.items() if name not in PROBE_OPTIONS}
    if recipe.model not in transfer.BACKBONES:
        known = ", ".join([*transfer.BACKBONES, SMALL_CNN, *BASELINES])
        raise ValueError(f"model = {recipe.model!r} is unknown; choose one of {known}")
    parts: dict[str, transfer.Part] = {"last-block": "last-block", "all": "all", "scratch": "all"}
    return transfer.build(
        recipe.model,
        num_classes=task.num_classes,
        pretrained=recipe.pretrained and recipe.train_part != "scratch",
        train=parts.get(recipe.train_part, "head"),
        **options,
    )


def _network(task: Task, model: nn.Module | None = None) -> Trained:
    """Trains a network on pictures, batch by batch."""
    if model is None and task.recipe.model == SMALL_CNN:
        model = SmallCNN(task.num_classes, **task.recipe.model_options)
    model = _build(task) if model is None else model
    pictures, val = task.augmented(), task.batches(task.seen("val"))
    trained = sum(transfer.trained_parameters(model).values())
    seeds.seed_everything(task.recipe.seed)
    started = time.perf_counter()
    history = train.fit(
        _for_loss(task.recipe, model),
        task.batches(pictures, shuffle=True),
        val,
        task.recipe,
        machine=task.machine,
        on_epoch=task.on_epoch,
    )
    seconds = time.perf_counter() - started
    return Trained(
        scorer=network_scorer(model, task.recipe, task.machine),
        val_probabilities=_probabilities(model, val, task.machine),
        seconds=seconds,
        parameters_trained=trained,
        parameters_total=_count(model),
        history=_records(history),
        notes=_notes(history),
        model=model,
    )


def _head(task: Task) -> Trained:
    """Trains the head: on stored features where they are the same in every epoch, else on pictures."""
    moving = not task.recipe.model_options.get("frozen_statistics", True)
    if task.recipe.augment != task.view or moving:
        return _network(task)
    model = _build(task)
    features, spent = {}, 0.0
    for split in ("train", "val"):
        features[split], seconds = _features(task, model, split)
        spent += seconds
    stored = {
        split: TensorDataset(torch.from_numpy(values), torch.from_numpy(task.targets(split)))
        for split, values in features.items()
    }
    head = _for_loss(task.recipe, nn.Sequential(model.dropout, model.head))
    seeds.seed_everything(task.recipe.seed)
    started = time.perf_counter()
    history = train.fit(
        head,
        task.batches(stored["train"], shuffle=True),
        task.batches(stored["val"]),
        task.recipe,
        machine=task.machine,
        on_epoch=task.on_epoch,
    )
    seconds = time.perf_counter() - started + spent
    return Trained(
        scorer=network_scorer(model, task.recipe, task.machine),
        val_probabilities=_probabilities(head, task.batches(stored["val"]), task.machine),
        seconds=seconds,
        parameters_trained=sum(transfer.trained_parameters(model).values()),
        parameters_total=_count(model),
        history=_records(history),
        notes={**_notes(history), "features": "computed once"},
        model=model,
    )


def _probe(task: Task) -> Trained:
    """Fits a linear classifier of scikit-learn to the features of one layer."""
    if task.recipe.augment != task.view:
        raise ValueError(f'a probe sees each picture once: set augment = "{task.view}", not {task.recipe.augment!r}')
    _refuse_settings_of_a_loop(task.recipe)
    if "folds" in task.recipe.model_options:
        return _cross_validation(task)
    model = _build(task)
    layer = task.recipe.model_options.get("layer")
    probe, features, seconds = _fitted_probe(task, model, layer, task.recipe.model_options.get("classifier"))
    view = photo(task.view, size=task.recipe.image_size)

    def score(pictures: ImageDataset) -> Floats:
        batches = task.batches(pictures.with_transform(view))
        found, _ = transfer.features(model, batches, layer=layer, machine=task.machine)
        return probe.probabilities(found.numpy())

    size = features.shape[1]
    parameters = (size + 1) * (task.num_classes if task.num_classes > 2 else 1)
    return Trained(
        scorer=score,
        val_probabilities=probe.probabilities(_features(task, model, "val", layer)[0]),
        seconds=seconds,
        parameters_trained=parameters,
        parameters_total=parameters + _count(model.backbone),
        notes={"C": probe.strength, "feature_dim": size},
    )


def _cross_validation(task: Task) -> Trained:
    """A logistic probe on training and validation pictures together, scored out of fold.

    `model_options`: `folds`, and `split`, which is "random" or "grouped".
    """
    options = task.recipe.model_options
    split = options.get("split", "grouped")
    if split not in ("random", "grouped"):
        raise ValueError(f'split = {split!r} in model_options; choose "random" or "grouped"')
    if task.recipe.subset is not None:
        raise ValueError("a cross-validation takes every picture; leave subset out")
    parts = (task.splits.train, task.splits.val)
    if any(part.groups is None for part in parts):
        raise ValueError(f"{task.recipe.data} has no groups to split by")
    model = _build(task)
    found = [_features(task, model, name, options.get("layer")) for name in ("train", "val")]
    features = np.concatenate([values for values, _ in found])
    targets = np.concatenate([part.targets for part in parts])
    groups = np.concatenate([part.groups for part in parts if part.groups is not None])
    started = time.perf_counter()
    probabilities = probes.out_of_fold(
        features,
        targets,
        num_classes=task.num_classes,
        groups=groups if split == "grouped" else None,
        folds=options["folds"],
        seed=task.recipe.seed,
    )
    seconds = time.perf_counter() - started + sum(spent for _, spent in found)

    def no_single_model(_: ImageDataset) -> Floats:
        raise ValueError("a cross-validation fits one model per fold and scores no test split; set test = false")

    parameters = (features.shape[1] + 1) * (task.num_classes if task.num_classes > 2 else 1)
    return Trained(
        scorer=no_single_model,
        val_probabilities=probabilities[len(parts[0]) :],
        seconds=seconds,
        parameters_trained=parameters,
        parameters_total=parameters + _count(model.backbone),
        notes={"folds": options["folds"], "split": split},
        out_of_fold=Predictions.of(probabilities, targets, [*parts[0].ids, *parts[1].ids], groups),
    )


def _probe_then_all(task: Task) -> Trained:
    """A logistic probe becomes the head; then everything is trained with the recipe's learning rate."""
    model = _build(task)
    probe, _, seconds = _fitted_probe(task, model, None, "logistic")
    weights, biases = probe.linear()
    with torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(weights))
        model.head.bias.copy_(torch.from_numpy(biases))
    probe_accuracy = float(
        np.mean(probe.probabilities(_features(task, model, "val")[0]).argmax(axis=1) == task.targets("val"))
    )
    transfer.set_train_part(model, "all")
    trained = _network(task, model)
    trained.seconds += seconds
    trained.notes |= {"C": probe.strength, "probe_val_accuracy": probe_accuracy}
    return trained


def _fitted_probe(
    task: Task, model: transfer.Transfer, layer: str | None, classifier: str | None
) -> tuple[probes.Probe, Floats, float]:
    features, train_seconds = _features(task, model, "train", layer)
    val_features, val_seconds = _features(task, model, "val", layer)
    started = time.perf_counter()
    probe = probes.fit_probe(
        features,
        task.targets("train"),
        val_features,
        task.targets("val"),
        num_classes=task.num_classes,
        classifier=classifier or "logistic",
        seed=task.recipe.seed,
    )
    return probe, features, time.perf_counter() - started + train_seconds + val_seconds


def _features(task: Task, model: transfer.Transfer, split: str, layer: str | None = None) -> tuple[Floats, float]:
    """Features [N, D] of a split, from the shelf where they are, and the seconds that they took."""
    recipe, pictures = task.recipe, task.seen(split)
    indices = task.indices if split == "train" else np.arange(len(pictures))
    place = {index: row for row, index in enumerate(indices)}

    def compute(missing: NDArray[np.int64]) -> Floats:
        chosen = pictures.subset([place[index] for index in missing])
        found, _ = transfer.features(model, task.batches(chosen), layer=layer, machine=task.machine)
        return found.numpy()

    # Random weights depend on the seed, borrowed ones do not.
    weights = "borrowed" if recipe.pretrained else recipe.seed
    key = (split, recipe.model, weights, recipe.image_size, task.view, layer, task.machine)
    size = len(task.splits.train) if split == "train" else len(pictures)
    return task.shelf.features(key, size, indices, compute)


def _majority(task: Task) -> Trained:
    """Predicts the shares of the training classes for every picture."""
    shares = probes.class_shares(task.targets("train"), task.num_classes)

    def score(pictures: ImageDataset) -> Floats:
        return np.tile(shares, (len(pictures), 1))

    count = task.num_classes
    return Trained(score, score(task.splits.val), 0.0, parameters_trained=count, parameters_total=count)


def _colour_numbers(task: Task) -> Trained:
    """Logistic regression on the mean and the standard deviation of each colour."""
    pictures = {split: task.seen(split) for split in ("train", "val")}
    started = time.perf_counter()
    colours = {split: probes.colour_numbers(seen) for split, seen in pictures.items()}
    probe = probes.fit_probe(
        colours["train"],
        task.targets("train"),
        colours["val"],
        task.targets("val"),
        num_classes=task.num_classes,
    )
    count = 7 * (task.num_classes if task.num_classes > 2 else 1)
    return Trained(
        scorer=lambda pictures: probe.probabilities(
            probes.colour_numbers(pictures.cache_pixels(task.recipe.image_size, task.view))
        ),
        val_probabilities=probe.probabilities(colours["val"]),
        seconds=time.perf_counter() - started,
        parameters_trained=count,
        parameters_total=count,
        notes={"C": probe.strength},
    )


def _for_loss(recipe: Recipe, model: nn.Module) -> nn.Module:
    """The network as its loss expects it: `NLLLoss` reads log-probabilities."""
    return nn.Sequential(model, nn.LogSoftmax(dim=1)) if recipe.loss == "nll" else model


def _refuse_settings_of_a_loop(recipe: Recipe) -> None:
    """A probe has no training loop, so it must not seem to have used the loop's settings."""
    plain = Recipe()
    for name in ("label_smoothing", "loss", "loss_options", "mix", "sam_rho", "ema", "tta", "init"):
        if getattr(recipe, name) != getattr(plain, name):
            raise ValueError(f"{name} = {getattr(recipe, name)!r} has no meaning for a probe; leave it out")


def _bytes(pictures: ImageDataset) -> int:
    return sum(source.nbytes for source in pictures.sources if isinstance(source, np.ndarray))


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _records(history: Any) -> list[dict[str, Any]]:
    """The epochs as plain numbers."""
    return [{name: _plain(value) for name, value in dict(epoch).items()} for epoch in history.records]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic | torch.Tensor) else value


def _notes(history: Any) -> dict[str, Any]:
    if history.stopped == "interrupted":
        # Half a run is no run: nothing of it is recorded.
        raise KeyboardInterrupt
    return {"best_epoch": history.best_epoch, "stopped": history.stopped}
