"""What a route is given and what it hands back; see `clslab.routes`.

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
from torch.utils.data import DataLoader

from clslab import data, distributed, losses, train, tta
from clslab import profile as profiles
from clslab.data import catalog
from clslab.data.images import ImageDataset
from clslab.data.loading import loader
from clslab.data.sounds import SoundDataset
from clslab.data.splits import nested_subsets
from clslab.data.transforms import photo
from clslab.device import Machine
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
    "border": "border",
    # The whole picture, as without augmentation, so that recipes are compared on the same view.
    "crop-flip": "resize",
    "source-train": "source-val",
}
"""For each augmentation the view of a picture that validation and test use."""

SMALL_CNN = "small_cnn"
"""Name in a recipe of `clslab.models.small.SmallCNN`."""

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
        more: further answers to be recorded, by the name that stands for their split.
        machine: where it was computed.
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
    more: dict[str, Predictions] = field(default_factory=dict)
    machine: Machine | None = None


class Shelf:
    """What several runs may share in one process: the splits, decoded pictures and features.

    Pictures of one set are kept at a time. Features keep the seconds that each picture took, and every run that uses
    them is charged for its own pictures, so that its record shows what it would have cost alone.
    """

    def __init__(self) -> None:
        self._splits: tuple[Any, data.Splits] | None = None
        self._pictures: dict[tuple[str, str, int], ImageDataset] = {}
        self._features: dict[Any, tuple[Floats, NDArray[np.bool_], float]] = {}
        self._sounds: dict[tuple[str, str], SoundDataset] = {}

    def splits(self, recipe: Recipe, *, profile: str | None = None, root: str | Path | None = None) -> data.Splits:
        """The splits of the recipe's data set, read once."""
        profile = profiles.current() if profile is None else profile
        # A set may be fetched, or the folder be another one, while a worker of a cluster lives on.
        key = (recipe.data, recipe.variant, profile, catalog.data_root(root), catalog.found(recipe.data, root))
        if self._splits is None or self._splits[0] != key:
            self._pictures.clear()
            self._features.clear()
            self._sounds.clear()
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

    def sounds(self, dataset: SoundDataset, split: str, spectrogram: str) -> SoundDataset:
        """A whole split with the spectrograms of all its clips in memory: an epoch or a fold computes none."""
        key = (split, spectrogram)
        if key not in self._sounds:
            self._sounds[key] = dataset.with_transform(spectrogram).in_memory()
        return self._sounds[key]

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
        machine: where to compute; `None` for a choice by measurement, which `clslab.routes.train_task` makes.
        shelf: what is shared with other runs.
        on_epoch: called by `clslab.train.fit` after every epoch.
        checkpoint: a file that `fit` writes after every epoch.
        resume: a checkpoint to go on from.
        log: takes the lines of `fit`.
        tensorboard: a folder for TensorBoard's files.
    """

    recipe: Recipe
    splits: data.Splits
    indices: NDArray[np.int64]
    machine: Machine | None
    shelf: Shelf
    on_epoch: Callable[..., Any] | None = None
    checkpoint: str | Path | None = None
    resume: str | Path | None = None
    log: str | Path | train.Log | None = None
    tensorboard: str | Path | None = None

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

    def counts(self) -> NDArray[np.int64]:
        """[C] training pictures that are used of each class."""
        return np.bincount(self.targets("train"), minlength=self.num_classes)

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

    def fit(self, model: nn.Module, batches: Any, val: Any) -> train.History:
        """Trains a model as the recipe says, from the checkpoint where there is one to go on from."""
        if isinstance(self.log, train.Log) and self.machine is not None:
            self.log(f"machine: {self.machine.describe()}")
        return train.fit(
            model,
            batches,
            val if self.recipe.choose_epoch else None,
            self.recipe,
            criterion=losses.create(self.recipe, self.counts(), self.splits.taxonomy),
            machine=self.machine,
            on_epoch=self.on_epoch,
            checkpoint=self.checkpoint,
            resume=self.resume,
            log=self.log,
            tensorboard=self.tensorboard,
        )

    def batches(self, dataset: Any, *, shuffle: bool = False) -> Any:
        """A loader in the batch size of the recipe, shuffled by its seed; of several processes each has its part.

        A last training batch of a single picture is left out (another one in each epoch): it has no variance, which
        batch norm needs in training.
        """
        size, batch_size = len(dataset), self.recipe.batch_size
        processes = distributed.world().world_size
        if processes > 1:
            lonely = shuffle and size > batch_size > processes and size % batch_size // processes == 1
            sampler = distributed.ShardSampler(
                size,
                batch_size=distributed.share_of(batch_size),
                shuffle=shuffle,
                drop_last=lonely,
                seed=self.recipe.seed,
            )
            return DataLoader(dataset, batch_size=sampler.batch_size, sampler=sampler)
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


def probabilities_of(model: nn.Module, batches: Any, machine: Machine | None, *, views: str | None = None) -> Floats:
    """Probabilities [N, C] of all items of a loader; of a model with an output per level those of the finest.

    Args:
        model: gives logits.
        batches: gives batches `(inputs, targets)`.
        machine: where to compute.
        views: one of `clslab.tta.VIEWS` to average over; `None` for each picture as it is.

    Raises:
        ValueError: if there is no such set of views.
    """
    if views is None:
        found, _ = train.predict(model, batches, machine=machine)
    else:
        found, _ = tta.predict(model, batches, tta.views_of(views), machine=machine)
    return (found[-1] if isinstance(found, tuple) else found).numpy()


def for_loss(recipe: Recipe, model: nn.Module) -> nn.Module:
    """The network as its loss expects it: `NLLLoss` reads log-probabilities."""
    return nn.Sequential(model, nn.LogSoftmax(dim=1)) if recipe.loss == "nll" else model


def no_single_model(_: Any) -> Floats:
    """The scorer of a cross-validation, which has several models.

    Raises:
        ValueError: always.
    """
    raise ValueError("a cross-validation fits one model per fold and scores no test split; set test = false")


def _bytes(pictures: ImageDataset) -> int:
    return sum(source.nbytes for source in pictures.sources if isinstance(source, np.ndarray))


def count_parameters(model: nn.Module) -> int:
    """Number of parameters, trained or not."""
    return sum(parameter.numel() for parameter in model.parameters())


def epochs_of(history: Any) -> list[dict[str, Any]]:
    """The epochs as plain numbers."""
    return [{name: _plain(value) for name, value in dict(epoch).items()} for epoch in history.records]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic | torch.Tensor) else value


def notes_of(history: Any) -> dict[str, Any]:
    """What a record says about how the training ended.

    Raises:
        KeyboardInterrupt: if it was interrupted.
    """
    if history.stopped == "interrupted":
        # Half a run is no run: nothing of it is recorded.
        raise KeyboardInterrupt
    return {"best_epoch": history.best_epoch, "stopped": history.stopped}
