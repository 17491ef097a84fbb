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

Two models need no network: "colour-numbers" (logistic regression on six numbers per picture) and "majority". Small
pictures that lie in memory have a route of their own, see `clslab.whole_batches`.

Taught in chapters 1 and 5.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import TensorDataset

from clslab import data, distributed, init, levels, probes, seeds, sound_route, whole_batches
from clslab.checkpoint import read_checkpoint
from clslab.data.augment import PRESETS
from clslab.data.images import ImageDataset
from clslab.data.loading import loader
from clslab.data.transforms import photo
from clslab.device import Machine, choose
from clslab.models import list_models, transfer
from clslab.models.multilayer import MultilayerNet
from clslab.models.small import SmallCNN
from clslab.recipe import Recipe
from clslab.records import Predictions
from clslab.task import (
    SMALL_CNN,
    VIEWS,
    Floats,
    Scorer,
    Shelf,
    Task,
    Trained,
    count_parameters,
    epochs_of,
    for_loss,
    no_single_model,
    notes_of,
    probabilities_of,
    training_indices,
)
from clslab.tta import views_of

__all__ = [
    "VIEWS",
    "Scorer",
    "Shelf",
    "Task",
    "Trained",
    "before_training",
    "network_scorer",
    "restored",
    "train_task",
    "training_indices",
]

Route = Callable[[Task], Trained]

PROBE_OPTIONS = ("layer", "classifier", "folds", "split")
"""The `model_options` that a probe reads; the others are the backbone's."""


def train_task(task: Task) -> Trained:
    """Trains what the recipe names, on the pictures that it names.

    Where the task has no machine, it is the one of the checkpoint to go on from, or else the one that
    `clslab.device.choose` finds by a measurement.

    Raises:
        ValueError: for a name that is unknown, or settings that do not go together.
    """
    recipe = task.recipe
    _check_settings(recipe)
    if task.machine is None:
        seeds.seed_everything(recipe.seed)
        task = dataclasses.replace(task, machine=_machine_for(task))
    seeds.seed_everything(recipe.seed)
    if sound_route.takes_sounds(recipe):
        trained = sound_route.train_sounds(task)
    elif recipe.model in BASELINES:
        trained = BASELINES[recipe.model](task)
    elif whole_batches.takes_batches(recipe):
        trained = whole_batches.train_whole_batches(task)
    else:
        trained = ROUTES[recipe.train_part](task)
    trained.machine = task.machine
    return trained


def _check_settings(recipe: Recipe) -> None:
    """Refuse names that are unknown, and names that do not go together."""
    if sound_route.takes_sounds(recipe):
        sound_route.check(recipe)
        return
    if recipe.folds:
        raise ValueError(
            f"folds = {recipe.folds} is for sounds; leave it out, or cross-validate a probe by model_options.folds"
        )
    if recipe.rare:
        raise ValueError(f"rare = {recipe.rare} is for sounds, and {recipe.data} holds pictures; leave it out")
    if recipe.train_part not in ROUTES:
        raise ValueError(f"train_part = {recipe.train_part!r} is unknown; choose one of {', '.join(ROUTES)}")
    whole = whole_batches.takes_batches(recipe)
    if recipe.augment not in VIEWS and not whole:
        raise ValueError(
            f"augment = {recipe.augment!r} is unknown; choose one of {', '.join(VIEWS)} for photographs, or of "
            f"{', '.join(PRESETS)} for small pictures in memory"
        )
    if whole and recipe.model in BASELINES:
        raise ValueError(f'augment = {recipe.augment!r} has no meaning for {recipe.model}; set augment = "resize"')
    if recipe.mix is not None and not whole:
        raise ValueError(
            f"mix = {recipe.mix!r} mixes whole batches of small pictures, and augment = {recipe.augment!r} takes "
            f"photographs one by one; leave mix out, or choose an augment of {', '.join(PRESETS)}"
        )
    if recipe.sampling != "uniform" and not whole:
        raise ValueError(
            f"sampling = {recipe.sampling!r} draws from small pictures in memory, and augment = {recipe.augment!r} "
            f"takes photographs one by one; leave sampling out, or weigh the classes in the loss: loss = "
            '"class-balanced"'
        )
    if recipe.hierarchy and not whole:
        raise ValueError(
            f"hierarchy trains on small pictures in memory, and augment = {recipe.augment!r} takes photographs one by "
            f"one; leave it out, or choose an augment of {', '.join(PRESETS)}"
        )
    if recipe.tta is not None:
        views_of(recipe.tta)
        if recipe.model in BASELINES:
            raise ValueError(f"tta = {recipe.tta!r} has no meaning for {recipe.model}; leave it out")
    if recipe.model == SMALL_CNN and recipe.train_part not in ("all", "scratch"):
        raise ValueError(f'{SMALL_CNN} has no borrowed part; set train_part = "scratch", not {recipe.train_part!r}')


def _without_network(recipe: Recipe) -> bool:
    """Whether the model is a baseline of numbers."""
    return recipe.model in (*BASELINES, sound_route.BAND_NUMBERS)


def _machine_for(task: Task) -> Machine:
    """The machine of the checkpoint to go on from, or the fastest one for this model and its batches."""
    if task.resume is not None:
        return Machine.from_dict(read_checkpoint(task.resume)["machine"])
    precision = task.recipe.precision
    if _without_network(task.recipe):
        machine = choose(precision=precision)
    elif sound_route.takes_sounds(task.recipe):
        machine = choose((sound_route.untrained(task), sound_route.example(task)), precision=precision)
    elif whole_batches.takes_batches(task.recipe):
        machine = choose((whole_batches.untrained(task), whole_batches.example(task)), precision=precision)
    else:
        inputs, _ = next(iter(task.batches(task.seen("train"))))
        machine = choose((_model(task), inputs), precision=precision)
    return distributed.agreed(machine)


def before_training(task: Task) -> tuple[nn.Module, Iterable[Any], Machine]:
    """What training would begin with: the network as its loss expects it, the training batches, and the machine.

    The random numbers are those with which `train_task` would begin too.

    Raises:
        ValueError: for a name that is unknown, settings that do not go together, or a recipe that trains no network
            batch by batch.

    Taught in chapter 7.
    """
    recipe = task.recipe
    _check_settings(recipe)
    if _without_network(recipe) or recipe.train_part in ("probe", "lp-ft"):
        what = f"model = {recipe.model!r}" if _without_network(recipe) else f"train_part = {recipe.train_part!r}"
        raise ValueError(f'{what} is not trained batch by batch from the start; set train_part = "head" or "all"')
    seeds.seed_everything(recipe.seed)
    machine = _machine_for(task) if task.machine is None else task.machine
    seeds.seed_everything(recipe.seed)
    batches: Iterable[Any]
    if sound_route.takes_sounds(recipe):
        model = sound_route.untrained(task)
        batches = sound_route.training_batches(task, task.splits.train.subset(task.indices), model)
    elif whole_batches.takes_batches(recipe):
        model, batches = whole_batches.untrained(task), whole_batches.training_batches(task, machine)
        if isinstance(model, MultilayerNet):
            batches = levels.with_levels(batches, model.taxonomy)
    else:
        model, batches = _model(task), task.batches(task.augmented(), shuffle=True)
    seeds.seed_everything(recipe.seed)
    return for_loss(recipe, model), batches, machine


def restored(task: Task, checkpoint: str | Path) -> nn.Module:
    """The network of a run that is over, with the weights that its checkpoint holds as the best ones.

    Args:
        task: the recipe and the data of the run.
        checkpoint: the file that `clslab.train.fit` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the recipe trains no network, or the checkpoint is that of another recipe.

    Taught in chapter 2.
    """
    recipe = task.recipe
    _check_settings(recipe)
    if _without_network(recipe) or recipe.train_part == "probe":
        what = recipe.model if _without_network(recipe) else "a probe"
        raise ValueError(f"{what} is no network and leaves no checkpoint; train the run anew and let it open its test")
    state = read_checkpoint(checkpoint)
    if Recipe.from_dict(state["recipe"]) != recipe:
        raise ValueError(f"{checkpoint} belongs to another recipe than the record; give the run's own checkpoint")
    seeds.seed_everything(recipe.seed)
    if sound_route.takes_sounds(recipe):
        model = sound_route.untrained(task)
    else:
        model = whole_batches.untrained(task) if whole_batches.takes_batches(recipe) else _model(task)
    trained = model
    if isinstance(model, transfer.Transfer) and recipe.train_part == "head" and _on_features(task):
        trained = nn.Sequential(model.dropout, model.head)
    for_loss(recipe, trained).load_state_dict(_final_weights(state["parts"]))
    return model


def _final_weights(parts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights that a training ended with: the best; where no epoch was chosen, the average or the last ones."""
    if parts["best"]["weights"]:
        return cast(Mapping[str, Any], parts["best"]["weights"])
    average = parts.get("average", {})
    if average.get("n_averaged", 0) > 0:
        return {name.removeprefix("module."): value for name, value in average.items() if name.startswith("module.")}
    return cast(Mapping[str, Any], parts["model"])


def network_scorer(
    model: nn.Module, recipe: Recipe, machine: Machine | None, *, splits: data.Splits | None = None
) -> Scorer:
    """A network as a function from untransformed pictures to probabilities [N, C].

    It averages over the views that the recipe's `tta` names.

    Args:
        model: a trained network.
        recipe: what it was trained by.
        machine: where to compute.
        splits: what it was trained on; small pictures are normalised by the statistics of the training split.

    Raises:
        ValueError: for an unknown augmentation, or one of small pictures without `splits`.
    """
    if sound_route.takes_sounds(recipe):
        return sound_route.scorer(model, recipe, machine)
    if whole_batches.takes_batches(recipe):
        if splits is None:
            raise ValueError(
                f"augment = {recipe.augment!r} normalises by the training pictures; give the splits that they are in"
            )
        return whole_batches.scorer(model, recipe, machine, whole_batches.statistics_of(splits, recipe))
    if recipe.augment not in VIEWS:
        raise ValueError(f"augment = {recipe.augment!r} is unknown; choose one of {', '.join(VIEWS)}")
    view = photo(VIEWS[recipe.augment], size=recipe.image_size)

    def score(pictures: ImageDataset) -> Floats:
        batches = loader(pictures.with_transform(view), batch_size=recipe.batch_size)
        return probabilities_of(model, batches, machine, views=recipe.tta)

    return score


def _build(task: Task) -> transfer.Transfer:
    """The borrowed model that the recipe names, its part to train chosen."""
    recipe = task.recipe
    options = {name: value for name, value in recipe.model_options.items() if name not in PROBE_OPTIONS}
    if recipe.model not in transfer.BACKBONES and recipe.model in list_models():
        raise ValueError(
            f"{recipe.model} is made for small pictures in memory, and augment = {recipe.augment!r} for photographs; "
            f'set augment to one of {", ".join(PRESETS)} and train_part = "scratch", or choose another model'
        )
    if recipe.model not in transfer.BACKBONES:
        known = ", ".join([*transfer.BACKBONES, SMALL_CNN, *BASELINES])
        raise ValueError(f"model = {recipe.model!r} is unknown; choose one of {known}")
    parts: dict[str, transfer.Part] = {"last-block": "last-block", "all": "all", "scratch": "all"}
    pretrained = recipe.pretrained and recipe.train_part != "scratch"
    if pretrained and recipe.init != "default":
        raise ValueError(
            f"init = {recipe.init!r} would overwrite borrowed weights; leave it at 'default', or start from random "
            'weights: pretrained = false or train_part = "scratch"'
        )
    model = transfer.build(
        recipe.model,
        num_classes=task.num_classes,
        pretrained=pretrained,
        train=parts.get(recipe.train_part, "head"),
        **options,
    )
    init.initialise(model, recipe.init)
    return model


def _model(task: Task) -> nn.Module:
    if task.recipe.model == SMALL_CNN:
        return init.initialise(SmallCNN(task.num_classes, **task.recipe.model_options), task.recipe.init)
    return _build(task)


def _network(task: Task, model: nn.Module | None = None) -> Trained:
    """Trains a network on pictures, batch by batch."""
    model = _model(task) if model is None else model
    pictures, val = task.augmented(), task.batches(task.seen("val"))
    trained = sum(transfer.trained_parameters(model).values())
    seeds.seed_everything(task.recipe.seed)
    started = time.perf_counter()
    history = task.fit(for_loss(task.recipe, model), task.batches(pictures, shuffle=True), val)
    seconds = time.perf_counter() - started
    return Trained(
        scorer=network_scorer(model, task.recipe, task.machine),
        val_probabilities=probabilities_of(model, val, task.machine, views=task.recipe.tta),
        seconds=seconds,
        parameters_trained=trained,
        parameters_total=count_parameters(model),
        history=epochs_of(history),
        notes=notes_of(history),
        model=model,
    )


def _head(task: Task) -> Trained:
    """Trains the head: on stored features where they are the same in every epoch, else on pictures."""
    if not _on_features(task):
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
    head = for_loss(task.recipe, nn.Sequential(model.dropout, model.head))
    seeds.seed_everything(task.recipe.seed)
    started = time.perf_counter()
    history = task.fit(head, task.batches(stored["train"], shuffle=True), task.batches(stored["val"]))
    seconds = time.perf_counter() - started + spent
    return Trained(
        scorer=network_scorer(model, task.recipe, task.machine),
        val_probabilities=_of_validation(task, model, head, stored["val"]),
        seconds=seconds,
        parameters_trained=sum(transfer.trained_parameters(model).values()),
        parameters_total=count_parameters(model),
        history=epochs_of(history),
        notes={**notes_of(history), "features": "computed once"},
        model=model,
    )


def _on_features(task: Task) -> bool:
    """Whether a head is fitted to stored features: each picture looks the same in every epoch, to a network at rest."""
    return task.recipe.augment == task.view and bool(task.recipe.model_options.get("frozen_statistics", True))


def _of_validation(task: Task, model: nn.Module, head: nn.Module, stored: TensorDataset) -> Floats:
    """Probabilities from the stored features, or from the pictures where each is to be seen in several views."""
    if task.recipe.tta is None:
        return probabilities_of(head, task.batches(stored), task.machine)
    return probabilities_of(model, task.batches(task.seen("val")), task.machine, views=task.recipe.tta)


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
        parameters_total=parameters + count_parameters(model.backbone),
        notes={"C": probe.strength, "feature_dim": size},
    )


def _cross_validation(task: Task) -> Trained:
    """A linear probe on training and validation pictures together, scored out of fold.

    `model_options`: `folds`; `split`, which is "random" or "grouped"; `layer` and `classifier` as without folds.
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
        classifier=options.get("classifier") or "logistic",
    )
    seconds = time.perf_counter() - started + sum(spent for _, spent in found)

    parameters = (features.shape[1] + 1) * (task.num_classes if task.num_classes > 2 else 1)
    return Trained(
        scorer=no_single_model,
        val_probabilities=probabilities[len(parts[0]) :],
        seconds=seconds,
        parameters_trained=parameters,
        parameters_total=parameters + count_parameters(model.backbone),
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

    # Random weights depend on the seed and on how they are drawn, borrowed ones on neither.
    weights = "borrowed" if recipe.pretrained else (recipe.seed, recipe.init)
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


def _refuse_settings_of_a_loop(recipe: Recipe) -> None:
    """A probe has no training loop, so it must not seem to have used the loop's settings."""
    plain = Recipe()
    for name in ("label_smoothing", "loss", "loss_options", "mix", "sam_rho", "ema", "tta", "init"):
        if getattr(recipe, name) != getattr(plain, name):
            raise ValueError(f"{name} = {getattr(recipe, name)!r} has no meaning for a probe; leave it out")


ROUTES: dict[str, Route] = {
    "head": _head,
    "last-block": _network,
    "all": _network,
    "scratch": _network,
    "probe": _probe,
    "lp-ft": _probe_then_all,
}
"""What each `train_part` does with photographs."""

BASELINES: dict[str, Route] = {"majority": _majority, "colour-numbers": _colour_numbers}
"""Models that are no networks."""
