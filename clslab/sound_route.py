"""The route of sounds: spectrograms in memory, a network on them, one split of the data or several folds.

A recipe takes this route when its data set holds sounds (`birds`). `spectrogram` names the picture that is made of each
clip (`clslab.audio.TRANSFORMS`), once, before the training; `augment` is one of

===========  ==========================================================================================================
"plain"      the spectrogram as it is
"mask"       SpecAugment: stripes of bands and of frames are left out (arXiv:1904.08779)
"roll-mask"  first shifted in time by a random number of frames, what leaves at one end enters at the other
===========  ==========================================================================================================

`model` is one of `clslab.models.list_models()`, or a borrowed one (`clslab.models.transfer.BACKBONES`), which takes a
picture of one channel too; with a `hierarchy` the network answers on every level of the tree (`clslab.levels`). The
model "band-numbers" is no network but the baseline: logistic regression on four numbers of each band.

With `folds` the recordings of all splits, the test included, are dealt into so many parts by the run's seed, and each
is answered by a network that has heard none of it: a set of a hundred recordings is too small for a test of its own.
What the record calls "val" are then these answers, and the record says that the test was opened. With
`folds_by = "recordist"` a network has heard nothing from the person who made a recording, either, and so hardly the
same microphone and place.

With `rare` too, as many networks are trained as there are classes, and each has heard nothing of one of them. Its clips
are answered with the help of a few recordings (`clslab.rare`). The record keeps one set of answers for each number of
`shots`, and one for none; `clslab.rare.shown` takes them out. Of a network with heads for coarser levels it also keeps
what these said of the clips that were never heard; `clslab.rare.said_by_head` takes that out.

Taught in chapter 15.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clslab import audio, distributed, init, levels, models, probes, rare, seeds, train
from clslab.data import Splits, birds
from clslab.data.sounds import SoundDataset
from clslab.models import transfer
from clslab.models.multilayer import MultilayerNet
from clslab.recipe import Recipe
from clslab.records import Predictions
from clslab.task import (
    Floats,
    Scorer,
    Task,
    Trained,
    count_parameters,
    epochs_of,
    for_loss,
    no_single_model,
    notes_of,
    probabilities_of,
)

AUGMENTATIONS = ("plain", "mask", "roll-mask")
OF_SOUNDS = ("birds",)
"""Data sets that hold sounds."""

BAND_NUMBERS = "band-numbers"
"""Name in a recipe of the baseline without a network."""

_EVALUATED_AT_ONCE = 64
_STRENGTH = 0.01  # C of the baseline where no split is left to choose it on


def takes_sounds(recipe: Recipe) -> bool:
    """Whether a recipe takes this route."""
    return recipe.data in OF_SOUNDS


def pooled(splits: Splits) -> Splits:
    """All recordings as one training split, for folds. Whoever calls this opens the test."""
    parts = {"train": splits.train, "val": splits.val}
    if splits.test is not None:
        parts["test"] = splits.test._open()
    everything = birds.unsplit(parts)
    return dataclasses.replace(splits, train=everything, val=everything, test=None)


class SpectrogramBatches:
    """Batches of spectrograms that lie in memory, with a draw of the augmentation for each item.

    Order and draws depend on seed and epoch alone.

    Args:
        inputs: float `[N, C, F, frames]`.
        targets: `[N]` classes or `[N, L]` levels.
        batch_size: items in a batch.
        augment: one of `AUGMENTATIONS`.
        shuffle: a new order in each epoch. A last batch of a single item is left out then: it has no variance, which
            batch norm needs.
        seed: of order and draws.

    Raises:
        ValueError: for an unknown augmentation.

    Taught in chapter 15.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        *,
        batch_size: int,
        augment: str = "plain",
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        if augment not in AUGMENTATIONS:
            raise ValueError(f"augment = {augment!r} is unknown for sounds; choose one of {', '.join(AUGMENTATIONS)}")
        self.inputs, self.targets = inputs, targets
        self.batch_size, self.augment, self.shuffle, self.seed = batch_size, augment, shuffle, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch of the iterations to come."""
        self.epoch = epoch

    def __len__(self) -> int:
        full, left = divmod(len(self.inputs), self.batch_size)
        lonely = self.shuffle and left == 1 and full > 0
        return full + (left > 0 and not lonely)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        draw = torch.Generator().manual_seed(int(np.random.SeedSequence([self.seed, self.epoch]).generate_state(1)[0]))
        order = torch.randperm(len(self.inputs), generator=draw) if self.shuffle else torch.arange(len(self.inputs))
        for step in range(len(self)):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield self._augmented(self.inputs[chosen], draw), self.targets[chosen]

    def _augmented(self, pictures: Tensor, draw: torch.Generator) -> Tensor:
        bands, frames = pictures.shape[-2:]
        if self.augment == "roll-mask":
            places = torch.randint(frames, (len(pictures), 1), generator=draw)
            moved = (torch.arange(frames) + places) % frames
            pictures = pictures.gather(3, moved[:, None, None].expand_as(pictures))
        if self.augment == "plain":
            return pictures
        return audio.spec_augment(pictures, frequency_width=bands // 6, time_width=frames // 6, generator=draw)


def train_sounds(task: Task) -> Trained:
    """Trains what the recipe says, on one split or on folds.

    Taught in chapter 15.
    """
    if task.recipe.model == BAND_NUMBERS:
        return _band_numbers_folds(task) if task.recipe.folds else _band_numbers_split(task)
    if task.recipe.rare:
        return _train_rare(task)
    return _train_folds(task) if task.recipe.folds else _train_split(task)


def scorer(model: nn.Module, recipe: Recipe, machine: Any) -> Scorer:
    """A network as a function from sounds to the probabilities [N, C] of the finest level."""

    def score(sounds: Any) -> Floats:
        inputs, targets = in_memory(sounds, recipe, of_levels=isinstance(model, MultilayerNet), like=model)
        batches = SpectrogramBatches(inputs, targets, batch_size=_EVALUATED_AT_ONCE)
        return probabilities_of(model, batches, machine)

    return score


def in_memory(
    sounds: SoundDataset, recipe: Recipe, *, of_levels: bool, like: nn.Module | None = None
) -> tuple[Tensor, Tensor]:
    """Spectrograms [N, C, F, frames] of all clips and their targets, [N] or for a network with levels [N, L]."""
    wanted = audio.transform(recipe.spectrogram)
    # What is kept with these settings already need not be computed again.
    found = (sounds if sounds.transform == wanted else sounds.with_transform(wanted)).tensors()[0]
    targets = torch.from_numpy(sounds.targets.copy())
    if of_levels:
        tree = like.taxonomy if isinstance(like, MultilayerNet) else levels.tree_of(sounds.taxonomy, recipe)
        targets = levels.level_targets(tree, targets)
    return found, targets


def untrained(task: Task) -> nn.Module:
    """The network that a recipe names, before its training.

    Raises:
        ValueError: for a name that is unknown, or settings that do not go together.
    """
    recipe = task.recipe
    channels = audio.transform(recipe.spectrogram).channels
    if recipe.hierarchy:
        return init.initialise(levels.network(task, in_channels=channels), recipe.init)
    of_the_zoo = recipe.model in models.list_models()
    if recipe.model in transfer.BACKBONES and not (of_the_zoo and recipe.train_part == "scratch"):
        borrowed = recipe.pretrained and recipe.train_part != "scratch"
        parts: dict[str, transfer.Part] = {"head": "head", "last-block": "last-block"}
        return transfer.build(
            recipe.model,
            num_classes=task.num_classes,
            in_channels=channels,
            pretrained=borrowed,
            train=parts.get(recipe.train_part, "all"),
            **recipe.model_options,
        )
    made = models.create(recipe.model, num_classes=task.num_classes, in_channels=channels, **recipe.model_options)
    return init.initialise(made, recipe.init)


def example(task: Task) -> Tensor:
    """A training batch, for a measurement."""
    few = task.splits.train.subset(task.indices[: task.recipe.batch_size])
    return in_memory(few, task.recipe, of_levels=False)[0]


def training_batches(task: Task, sounds: SoundDataset, model: nn.Module) -> SpectrogramBatches:
    """The training batches of a recipe."""
    recipe = task.recipe
    inputs, targets = in_memory(sounds, recipe, of_levels=isinstance(model, MultilayerNet), like=model)
    return SpectrogramBatches(
        inputs, targets, batch_size=recipe.batch_size, augment=recipe.augment, shuffle=True, seed=recipe.seed
    )


def check(recipe: Recipe) -> None:
    """Refuse what this route does not do.

    Raises:
        ValueError: if settings do not go together.
    """
    if recipe.augment not in AUGMENTATIONS:
        raise ValueError(
            f"augment = {recipe.augment!r} is unknown for sounds; choose one of {', '.join(AUGMENTATIONS)}"
        )
    if recipe.folds_by != "recording" and not recipe.folds:
        raise ValueError(f"folds_by = {recipe.folds_by!r} says how folds are dealt, and there are none; set folds")
    if recipe.rare and recipe.folds_by != "recording":
        raise ValueError(f"rare deals recordings, and folds_by = {recipe.folds_by!r}; leave folds_by out")
    if recipe.model == BAND_NUMBERS:
        _check_band_numbers(recipe)
    if recipe.rare:
        rare.shots_of(recipe)
    for name, value in (("mix", recipe.mix), ("tta", recipe.tta)):
        if value is not None:
            raise ValueError(f"{name} = {value!r} is made for pictures, not for sounds; leave it out")
    if recipe.sampling != "uniform":
        raise ValueError(f'sampling = {recipe.sampling!r} is made for pictures in memory; set it to "uniform"')
    if distributed.world().world_size > 1:
        raise ValueError("sounds are trained on in one process; start it without torchrun")


def _train_split(task: Task) -> Trained:
    train_split, val_split = (
        task.shelf.sounds(part, split, task.recipe.spectrogram)
        for split, part in (("train", task.splits.train), ("val", task.splits.val))
    )
    seeds.seed_everything(task.recipe.seed)
    model = untrained(task)
    return _fit(task, model, training_batches(task, train_split.subset(task.indices), model), val_split)


def _train_folds(task: Task) -> Trained:
    """A network for each part of the recordings, trained on all the others."""
    recipe = task.recipe
    everything = task.shelf.sounds(task.splits.train, "all", recipe.spectrogram)
    _refuse_one_network(task)
    probabilities = np.zeros((len(everything), task.num_classes), dtype=np.float32)
    history, several = [], []
    for number, (learnt, held_out) in enumerate(_dealt(everything, recipe)):
        seeds.seed_everything(recipe.seed)
        model = untrained(task)
        batches = training_batches(task, everything.subset(learnt), model)
        of_fold = _fit(dataclasses.replace(task, indices=learnt), model, batches, everything.subset(held_out))
        probabilities[held_out] = of_fold.val_probabilities
        history += [epoch | {"fold": number} for epoch in of_fold.history]
        several.append(of_fold)
    return _of_several(several, history, recipe, _answers(probabilities, everything, recipe))


def _dealt(everything: SoundDataset, recipe: Recipe) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    return birds.folds(everything, count=recipe.folds, by=recipe.folds_by, seed=recipe.seed)


def _answers(probabilities: Floats, everything: SoundDataset, recipe: Recipe) -> Predictions:
    """What was said about all clips, in the groups that were dealt as wholes."""
    groups = birds.groups(everything, recipe.folds_by)
    return Predictions.of(probabilities, everything.targets, everything.ids, groups)


def _train_rare(task: Task) -> Trained:
    """For each class a network that has heard nothing of it, and what comes of a few recordings of it.

    A fold of the other classes is left out too: the common birds that are asked about beside the rare one.
    """
    recipe = task.recipe
    _refuse_one_network(task)
    everything = task.shelf.sounds(task.splits.train, "all", recipe.spectrogram)
    dealt = _dealt(everything, recipe)
    gathered = rare.Answers(everything.targets, task.num_classes, rare.shots_of(recipe))
    of_heads: dict[int, tuple[Floats, NDArray[np.int64]]] = {}
    history, several = [], []
    for number in range(task.num_classes):
        is_rare = everything.targets == number
        learnt, asked = (part[~is_rare[part]] for part in dealt[number % recipe.folds])
        seeds.seed_everything(recipe.seed)
        model = untrained(task)
        held_out = np.concatenate([np.flatnonzero(is_rare), asked])
        batches = training_batches(task, everything.subset(learnt), model)
        of_class = _fit(dataclasses.replace(task, indices=learnt), model, batches, everything.subset(held_out))
        inputs = in_memory(everything, recipe, of_levels=False)[0]
        shown = SpectrogramBatches(inputs, torch.from_numpy(everything.targets), batch_size=_EVALUATED_AT_ONCE)
        _ask_coarse_heads(task, model, everything, np.flatnonzero(is_rare), of_heads)
        gathered.add(
            number,
            features=rare.features_before_head(model, shown),
            recordings=np.asarray(everything.groups),
            learnt=learnt,
            asked=held_out,
            said=of_class.val_probabilities,
            seed=recipe.seed,
        )
        history += [epoch | {"fold": number} for epoch in of_class.history]
        several.append(of_class)
    predictions = {shots: _answers(found, everything, recipe) for shots, found in gathered.probabilities.items()}
    more = {rare.split_name(shots): found for shots, found in predictions.items()}
    for level, (found, nodes) in of_heads.items():
        more[rare.head_name(level)] = Predictions.of(found, nodes, everything.ids, everything.groups)
    return dataclasses.replace(
        _of_several(several, history, recipe, predictions[gathered.shots[0]]),
        more=more,
        notes={"folds": recipe.folds, "common": gathered.common(), "of_each_class": [one.notes for one in several]},
    )


def _ask_coarse_heads(
    task: Task,
    model: nn.Module,
    everything: SoundDataset,
    chosen: NDArray[np.int64],
    of_heads: dict[int, tuple[Floats, NDArray[np.int64]]],
) -> None:
    """Writes what the heads above the last say of the chosen clips: for a level probabilities [N, nodes], nodes [N]."""
    if not isinstance(model, MultilayerNet):
        return
    inputs, targets = in_memory(everything.subset(chosen), task.recipe, of_levels=True, like=model)
    batches = SpectrogramBatches(inputs, targets, batch_size=_EVALUATED_AT_ONCE)
    for level, said in enumerate(train.predict(model, batches, machine=task.machine)[0][:-1]):
        nodes = model.taxonomy.coarsen(everything.targets, level)
        found, _ = of_heads.setdefault(level, (np.zeros((len(everything), said.shape[1])), nodes))
        found[chosen] = said.numpy()


def _of_several(several: list[Trained], history: list[dict[str, Any]], recipe: Recipe, answers: Predictions) -> Trained:
    """The networks of a cross-validation as one run."""
    last = several[-1]
    return Trained(
        scorer=last.scorer,
        val_probabilities=answers.probabilities,
        seconds=sum(one.seconds for one in several),
        parameters_trained=last.parameters_trained,
        parameters_total=last.parameters_total,
        history=history,
        notes={"folds": recipe.folds, "of_each_fold": [one.notes for one in several]},
        out_of_fold=answers,
    )


def _refuse_one_network(task: Task) -> None:
    """Refuse what has no meaning where several networks are trained on all recordings."""
    for name, value in (("resume", task.resume), ("checkpoint", task.checkpoint)):
        if value is not None:
            raise ValueError(
                f"{name} = {value} holds one network, and folds = {task.recipe.folds} train several; leave it out "
                "(`python -m clslab sweep` keeps no network and takes folds, `train` does not)"
            )
    if task.recipe.subset is not None:
        raise ValueError("a cross-validation takes every recording; leave subset out")


def _fit(task: Task, model: nn.Module, batches: SpectrogramBatches, held_out: SoundDataset) -> Trained:
    recipe, machine = task.recipe, task.machine
    score = scorer(model, recipe, machine)
    inputs, targets = in_memory(held_out, recipe, of_levels=isinstance(model, MultilayerNet), like=model)
    val = SpectrogramBatches(inputs, targets, batch_size=_EVALUATED_AT_ONCE)
    if isinstance(model, MultilayerNet):
        plain = SpectrogramBatches(batches.inputs, batches.targets, batch_size=_EVALUATED_AT_ONCE)
        return levels.train_levels(task, model, batches, val, score, plain=plain)
    started = time.perf_counter()
    seeds.seed_everything(recipe.seed)
    history = task.fit(for_loss(recipe, model), batches, val)
    return Trained(
        scorer=score,
        val_probabilities=train.predict(model, val, machine=machine)[0].numpy(),  # type: ignore[union-attr]
        seconds=time.perf_counter() - started,
        parameters_trained=sum(weights.numel() for weights in model.parameters() if weights.requires_grad),
        parameters_total=count_parameters(model),
        history=epochs_of(history),
        notes=notes_of(history),
        model=model,
    )


# ---------------------------------------------------------------------------- without a network


def band_numbers(pictures: Tensor) -> Floats:
    """Mean, standard deviation, least and greatest value over time of every band: [N, C, F, frames] -> [N, 4·C·F].

    They say which pitches are loud and how much each of them varies, and nothing about order.

    >>> band_numbers(torch.tensor([[[[0.0, 2.0], [5.0, 5.0]]]])).tolist()
    [[1.0, 5.0, 1.0, 0.0, 0.0, 5.0, 2.0, 5.0]]
    """
    spread, mean = torch.std_mean(pictures.double(), dim=3, correction=0)
    least, greatest = pictures.double().aminmax(dim=3)
    return torch.cat([one.flatten(1) for one in (mean, spread, least, greatest)], dim=1).numpy()


def _numbers(sounds: SoundDataset, recipe: Recipe) -> Floats:
    return band_numbers(in_memory(sounds, recipe, of_levels=False)[0])


def _band_numbers_split(task: Task) -> Trained:
    """Logistic regression on the training clips, its strength chosen on the validation clips."""
    train_split = task.shelf.sounds(task.splits.train, "train", task.recipe.spectrogram).subset(task.indices)
    val_split = task.shelf.sounds(task.splits.val, "val", task.recipe.spectrogram)
    started = time.perf_counter()
    known, asked = _numbers(train_split, task.recipe), _numbers(val_split, task.recipe)
    strengths = [task.recipe.model_options["C"]] if "C" in task.recipe.model_options else probes.STRENGTHS
    probe = probes.fit_probe(
        known, train_split.targets, asked, val_split.targets, num_classes=task.num_classes, strengths=strengths
    )
    return _of_numbers(
        task,
        known.shape[1],
        scorer=lambda sounds: probe.probabilities(_numbers(sounds, task.recipe)),
        val_probabilities=probe.probabilities(asked),
        seconds=time.perf_counter() - started,
        notes={"C": probe.strength},
    )


def _band_numbers_folds(task: Task) -> Trained:
    """A logistic regression for each part of the recordings, fitted to all the others."""
    recipe = task.recipe
    _refuse_one_network(task)
    everything = task.shelf.sounds(task.splits.train, "all", recipe.spectrogram)
    started = time.perf_counter()
    numbers, strength = _numbers(everything, recipe), float(recipe.model_options.get("C", _STRENGTH))
    probabilities = np.zeros((len(everything), task.num_classes), dtype=np.float32)
    for learnt, held_out in _dealt(everything, recipe):
        asked, truth = numbers[held_out], everything.targets[held_out]
        probe = probes.fit_probe(
            numbers[learnt],
            everything.targets[learnt],
            asked,
            truth,
            num_classes=task.num_classes,
            strengths=[strength],  # a single one, so that no fold chooses its own
        )
        probabilities[held_out] = probe.probabilities(asked)

    return _of_numbers(
        task,
        numbers.shape[1],
        scorer=no_single_model,
        val_probabilities=probabilities,
        seconds=time.perf_counter() - started,
        notes={"C": strength, "folds": recipe.folds},
        out_of_fold=_answers(probabilities, everything, recipe),
    )


def _of_numbers(task: Task, size: int, **found: Any) -> Trained:
    """A linear model on so many numbers as what a route hands back."""
    count = (size + 1) * (task.num_classes if task.num_classes > 2 else 1)
    return Trained(**found, parameters_trained=count, parameters_total=count)


def _check_band_numbers(recipe: Recipe) -> None:
    """Refuse settings of a training that there is not."""
    plain = Recipe()
    for name in ("hierarchy", "rare", "loss", "loss_options", "label_smoothing", "sam_rho", "ema", "init"):
        if getattr(recipe, name) != getattr(plain, name):
            raise ValueError(f"{name} = {getattr(recipe, name)!r} has no meaning for {BAND_NUMBERS}; leave it out")
    if recipe.augment != "plain":
        raise ValueError(f'augment = {recipe.augment!r} has no meaning for {BAND_NUMBERS}; set it to "plain"')
    unknown = sorted(set(recipe.model_options) - {"C"})
    if unknown:
        raise ValueError(f"model_options has {', '.join(unknown)}; {BAND_NUMBERS} knows C alone")
