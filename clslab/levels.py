"""The route of a tree: a network with a head per level of labels, trained in one stage or in two.

A recipe takes it when its `hierarchy` is not empty:

=============  ========================================================================================================
mode           what is trained
=============  ========================================================================================================
"flat"         the same network without coarse heads: what the others are compared with
"joint"        all heads at once; `weights` for the levels, which may change at the epochs `starts` (B-CNN)
"two-stage"    `first_epochs` on the coarse labels, with the shallow parts alone; then they are connected to the deep
               part, which learns the fine label (the bird-sound post). `weights` may keep the coarse heads in the loss
=============  ========================================================================================================

Besides: `shallow`, `adapter`, `temporal`, `cuts` and `bands` of `clslab.models.multilayer.MultilayerNet`, and
`levels`, which picks levels of the tree by number, coarse to fine; the finest is always the last one. `tree = "random"`
puts a tree of the same shape in place of the true one, drawn by the recipe's seed: what still helps is not knowledge in
the tree.

What a record keeps are the answers of the finest head; what the coarse heads said about the validation split stands in
its notes.

Taught in chapter 15.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor

from clslab import distributed, seeds, train
from clslab.checkpoint import read_checkpoint
from clslab.data.loading import BatchLoader
from clslab.hierarchy import LevelLoss, level_targets
from clslab.models import list_models
from clslab.models.multilayer import MultilayerNet
from clslab.models.transfer import BACKBONES
from clslab.recipe import Recipe
from clslab.task import Scorer, Task, Trained, count_parameters, epochs_of, notes_of, probabilities_of
from clslab.taxonomy import Taxonomy

MODES = ("flat", "joint", "two-stage")
_OF_THE_NETWORK = ("shallow", "adapter", "temporal", "cuts", "bands")
OPTIONS = ("mode", "tree", "levels", *_OF_THE_NETWORK, "first_epochs", "weights", "starts")
"""What `Recipe.hierarchy` may hold."""

_OF_MODE = {"flat": ("temporal",), "joint": ("tree", "temporal", "cuts", "bands", "adapter", "weights", "starts")}


def tree_of(taxonomy: Taxonomy | None, recipe: Recipe) -> Taxonomy:
    """The levels of a data set's tree that a recipe learns.

    Raises:
        ValueError: if the data set has no tree, or the recipe names levels or options that do not exist.
    """
    settings = recipe.hierarchy
    unknown = sorted(set(settings) - set(OPTIONS))
    if unknown:
        raise ValueError(f"hierarchy has {', '.join(unknown)}; it knows {', '.join(OPTIONS)}")
    mode = settings.get("mode")
    if mode not in MODES:
        raise ValueError(f"hierarchy.mode = {mode!r} is unknown; choose one of {', '.join(MODES)}")
    needless = sorted(set(settings) - {"mode", "levels", *_OF_MODE.get(mode, OPTIONS)})
    if needless:
        raise ValueError(f"hierarchy.{needless[0]} has no meaning for the mode {mode!r}; leave it out")
    if taxonomy is None:
        raise ValueError(f"{recipe.data} has no tree of labels; leave hierarchy out, or choose cifar100 or birds")
    if recipe.mix is not None or recipe.loss != "cross-entropy":
        raise ValueError(
            f"loss = {recipe.loss!r} and mix = {recipe.mix!r}: heads of several levels are trained by cross-entropy on "
            "unmixed pictures; leave both out, or hierarchy"
        )
    chosen = [taxonomy.levels - 1] if mode == "flat" else settings.get("levels", list(range(taxonomy.levels)))
    if chosen != sorted(set(chosen)) or not chosen or chosen[0] < 0 or chosen[-1] != taxonomy.levels - 1:
        raise ValueError(f"hierarchy.levels = {chosen}; give rising numbers that end with {taxonomy.levels - 1}")
    picked = Taxonomy.from_paths([tuple(path[level] for level in chosen) for path in taxonomy.paths])
    return picked.kind(settings.get("tree", "true"), recipe.seed)


def network(task: Task, *, in_channels: int = 3) -> MultilayerNet:
    """The network that a recipe names, not connected yet.

    Raises:
        ValueError: for the reasons of `tree_of`, or of the network.
    """
    recipe = task.recipe
    options = {name: value for name, value in recipe.hierarchy.items() if name in _OF_THE_NETWORK}
    if recipe.model in BACKBONES and recipe.model not in list_models():
        options["pretrained"] = recipe.pretrained and recipe.train_part != "scratch"
    return MultilayerNet(
        recipe.model, tree_of(task.splits.taxonomy, recipe), in_channels=in_channels, **options, **recipe.model_options
    )


def loss_of(recipe: Recipe, levels: int) -> LevelLoss:
    """The loss of the last stage: all levels alike for "joint", else the fine one alone, unless weights are given."""
    settings = recipe.hierarchy
    usual = [[1 / levels] * levels] if settings["mode"] == "joint" else [[0.0] * (levels - 1) + [1.0]]
    return LevelLoss(
        settings.get("weights", usual), starts=settings.get("starts", [0]), label_smoothing=recipe.label_smoothing
    )


class Batches(Protocol):
    """Training batches that know their number and draw another order in every epoch."""

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]: ...

    def __len__(self) -> int: ...

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the iterations to come."""


def train_levels(
    task: Task, model: MultilayerNet, batches: Batches, val: Iterable[Any], scorer: Scorer, *, plain: Iterable[Any]
) -> Trained:
    """Trains a network with a head per level.

    Args:
        task: the recipe on its data.
        model: made by `network`.
        batches: training batches with targets `[N, L]`.
        val: validation batches with targets `[N, L]`.
        scorer: the network as a function of pictures; called after the training only.
        plain: the training pictures without augmentation, once; "coral" is computed from them.

    Raises:
        ValueError: if several processes train together.

    Taught in chapter 15.
    """
    recipe = task.recipe
    if distributed.world().world_size > 1:
        raise ValueError("a network with a head per level is trained in one process; start it without torchrun")
    started = time.perf_counter()
    first = _Epochs()
    seeds.seed_everything(recipe.seed)
    if recipe.hierarchy["mode"] == "two-stage":
        if task.resume is None:
            first.records = _first_stage(task, model, batches)
        model.connect(plain, machine=task.machine)
    history = _last_stage(task, model, batches, val, first)
    seconds = time.perf_counter() - started
    if task.resume is not None:
        seconds += sum(epoch["seconds"] for epoch in first.records)  # of the second stage `clslab.runs` sees to it
    scores = train.evaluate(model, val, machine=task.machine)
    assert isinstance(scores, list)  # the network gives a tuple
    probabilities = probabilities_of(model, val, task.machine, views=recipe.tta)
    coarse = {"coarse_val_accuracy": [one.accuracy for one in scores[:-1]]} if len(scores) > 1 else {}
    return Trained(
        scorer=scorer,
        val_probabilities=probabilities,
        seconds=seconds,
        parameters_trained=sum(weights.numel() for weights in model.parameters() if weights.requires_grad),
        parameters_total=count_parameters(model),
        history=epochs_of(history),
        notes=notes_of(history) | coarse | ({"first_stage": first.records} if first.records else {}),
        model=model,
    )


def with_levels(loader: BatchLoader, taxonomy: Taxonomy) -> BatchLoader:
    """The same batches with the class at every level as targets, `[B, L]`."""
    loader.targets = level_targets(taxonomy, loader.targets).to(loader.targets.device)
    return loader


def _first_stage(task: Task, model: MultilayerNet, batches: Batches) -> list[dict[str, Any]]:
    """Trains the shallow parts on the coarse labels; their epochs."""
    recipe = task.recipe
    shallow, coarse = model.shallow_classifier(), len(model.parts) - 1
    epochs = recipe.hierarchy.get("first_epochs", recipe.epochs)
    history = train.fit(
        shallow,
        _CoarseTargets(batches),
        None,
        recipe.replace(epochs=epochs),
        criterion=LevelLoss([[1 / coarse] * coarse], label_smoothing=recipe.label_smoothing),
        machine=task.machine,
        log=task.log,
    )
    notes_of(history)  # raises if it was interrupted
    return epochs_of(history)


def _last_stage(
    task: Task, model: MultilayerNet, batches: Batches, val: Iterable[Any], first: _Epochs
) -> train.History:
    recipe = task.recipe
    criterion = loss_of(recipe, len(model.parts))
    if task.resume is not None:
        criterion.set_epoch(len(read_checkpoint(task.resume)["parts"]["history"]["records"]))

    def after(record: dict[str, Any]) -> None:
        criterion.set_epoch(record["epoch"])  # counted from 1 there, and from 0 here: this is the next one
        if task.on_epoch is not None:
            task.on_epoch(record)

    return train.fit(
        model,
        batches,
        val if recipe.choose_epoch else None,
        recipe,
        criterion=criterion,
        machine=task.machine,
        on_epoch=after,
        checkpoint=task.checkpoint,
        resume=task.resume,
        log=task.log,
        tensorboard=task.tensorboard,
        also={"first_stage": first} if recipe.hierarchy["mode"] == "two-stage" else None,
    )


class _Epochs:
    """The epochs of the first stage, which a checkpoint of the second one keeps."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        """The epochs as plain data."""
        return {"records": self.records}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.records = [dict(record) for record in state["records"]]


class _CoarseTargets:
    """Batches without the finest level of their targets."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, targets in self.batches:
            assert isinstance(targets, Tensor)  # [B, L], unmixed
            yield inputs, targets[:, :-1]

    def __len__(self) -> int:
        return len(self.batches)

    def set_epoch(self, epoch: int) -> None:
        """The order of an epoch."""
        self.batches.set_epoch(epoch)
