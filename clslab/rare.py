"""A species that is rare: recognised from a few recordings by a network that was trained on the others.

Each class in turn plays the rare one. The network learns all the others; of the rare one it is then shown one, two or
five recordings, or none. Nothing is trained with these few: a class is the mean of its features, and a clip belongs to
the class whose mean is nearest. Recordings are counted, not clips, and a clip is never answered with the help of
another clip of its own recording: two clips of one recording share bird, place and microphone.

With no recording at all the network cannot know the species, but it may still name the family, if the family has
another member among the species that it knows (`relatives`).

| | |
|---|---|
| `class_means`, `nearest` | the mean of every class, and probabilities by the distances to them |
| `with_few_recordings` | every clip of the rare class, answered with the help of k other recordings |
| `never_heard` | what the network says of a class that it was never shown |
| `shown` | those answers, taken out of a record |
| `said_by_head` | what the heads for genus and family said of a class that the network was never shown |

Page and tables read the answers from the records of a recipe with `rare` (`clslab.sound_route`): `clslab.tree_records`
gives right species, genus and family with intervals, `clslab.hierarchy.back_off` answers only as finely as is safe.

Taught in chapter 15.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from torch import Tensor, nn

from clslab.recipe import Recipe
from clslab.records import Predictions, Run
from clslab.taxonomy import Taxonomy

__all__ = [
    "Answers",
    "class_means",
    "features_before_head",
    "head_name",
    "nearest",
    "never_heard",
    "relatives",
    "said_by_head",
    "sharpness",
    "shots_of",
    "shown",
    "split_name",
    "with_few_recordings",
]

Floats = NDArray[np.float64]


# [class-means]
def class_means(features: ArrayLike, targets: ArrayLike, num_classes: int) -> Floats:
    """The mean feature [C, D] of every class, a row of NaN for a class without a clip.

    Args:
        features: [N, D].
        targets: [N] classes.
        num_classes: C.

    Raises:
        ValueError: if there is not one target per row, or a target is no class.

    Source: prototypes of Snell et al., arXiv:1703.05175. Taught in chapter 15.

    >>> class_means([[0.0, 2.0], [2.0, 2.0], [5.0, 5.0]], [0, 0, 1], 2).tolist()
    [[1.0, 2.0], [5.0, 5.0]]
    """
    rows, labels = _rows(features), np.asarray(targets, dtype=np.int64)
    if len(labels) != len(rows):
        raise ValueError(f"{len(labels)} targets for {len(rows)} rows of features; give one for each")
    if len(labels) and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(f"targets run from {labels.min()} to {labels.max()}; give classes from 0 to {num_classes - 1}")
    means = np.full((num_classes, rows.shape[1]), np.nan)
    for label in np.unique(labels):
        means[label] = rows[labels == label].mean(axis=0)
    return means


def nearest(features: ArrayLike, means: ArrayLike, *, scale: float = 1.0) -> Floats:
    """Probabilities [N, C] by the distance to each mean: a softmax over −scale · (squared distance).

    The most probable class is the one with the nearest mean, whatever the scale. A class whose mean is NaN has
    probability 0.

    Args:
        features: [N, D].
        means: [C, D] as from `class_means`.
        scale: positive; how fast a class loses with distance, see `sharpness`.

    Raises:
        ValueError: if the lengths of features and means differ, the scale is not positive, or no class has a mean.

    Taught in chapter 15.

    >>> nearest([[0.0], [3.0]], [[0.0], [4.0]]).argmax(axis=1).tolist()
    [0, 1]
    """
    if not 0 < scale < np.inf:
        raise ValueError(f"scale = {scale}; it has to be positive and finite")
    return softmax(scale * _closeness(_rows(features), _rows(means)), axis=1)


# [/class-means]


def sharpness(features: ArrayLike, targets: ArrayLike, groups: ArrayLike, num_classes: int) -> float:
    """The scale for `nearest` that gives clips their own class the highest likelihood.

    Every clip is compared with the means of the other recordings, its own left out, as a clip of an unheard recording
    would be.

    Args:
        features: [N, D] of the training clips.
        targets: [N] classes.
        groups: [N] recording of each clip.
        num_classes: C.

    Raises:
        ValueError: if no class has clips of two recordings, so that nothing could be left out.

    Taught in chapter 15.
    """
    rows, labels, recordings = _rows(features), np.asarray(targets), np.asarray(groups)
    closeness, own = [], []
    for recording in np.unique(recordings):
        here = recordings == recording
        means = class_means(rows[~here], labels[~here], num_classes)
        known = here & ~np.isnan(means[labels]).any(axis=1)
        if known.any():
            closeness.append(_closeness(rows[known], means))
            own.append(labels[known])
    if not closeness:
        raise ValueError("no class has clips of two recordings; give at least two recordings of a class")
    logits, true = np.concatenate(closeness), np.concatenate(own)

    def loss(logarithm: float) -> float:
        said = log_softmax(np.exp(logarithm) * logits, axis=1)
        return float(-said[np.arange(len(true)), true].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-12, 6), method="bounded").x))


# [few]
def with_few_recordings(
    common: tuple[ArrayLike, ArrayLike],
    rare: tuple[ArrayLike, ArrayLike],
    *,
    rare_class: int,
    num_classes: int,
    shots: int,
    scale: float = 1.0,
    seed: int = 0,
) -> Floats:
    """Probabilities [M, C] of all clips of the rare class, each with the help of `shots` other recordings of it.

    Recording by recording: of the others so many are drawn, their clips are the mean of the rare class, and the clips
    of the recording are compared with it and with the means of all common classes.

    Args:
        common: features [N, D] and targets [N] of the training clips, without the rare class.
        rare: features [M, D] and recordings [M] of the rare class.
        rare_class: its number.
        num_classes: C, the rare one included.
        shots: k, the number of recordings that are shown.
        scale: see `nearest`.
        seed: of the draws.

    Raises:
        ValueError: if the rare class is among the common clips, or has too few recordings.

    Taught in chapter 15.
    """
    rows, recordings = _rows(rare[0]), np.asarray(rare[1])
    if (np.asarray(common[1]) == rare_class).any():
        raise ValueError(f"class {rare_class} plays the rare one, and is among the common clips; take it out of them")
    there = np.unique(recordings)
    if not 1 <= shots < len(there):
        raise ValueError(
            f"shots = {shots} with {len(there)} recordings of class {rare_class}; give 1 to {len(there) - 1}, one "
            "recording has to be left to answer"
        )
    means = class_means(*common, num_classes)
    found = np.zeros((len(rows), num_classes))
    for number, asked in enumerate(there):
        # One stream per recording: with more shots the same recordings come first.
        draw = np.random.default_rng((seed, rare_class, number))
        shown = draw.permutation(there[there != asked])[:shots]
        means[rare_class] = rows[np.isin(recordings, shown)].mean(axis=0)
        here = recordings == asked
        found[here] = nearest(rows[here], means, scale=scale)
    return found


# [/few]


def never_heard(probabilities: ArrayLike, rare_class: int) -> Floats:
    """What a network says about clips [N, C] among the classes that it has learned: the rare one left out, sums 1.

    The species is wrong then in any case; genus and family need not be.

    Raises:
        ValueError: if there is no such class.

    Taught in chapter 15.

    >>> never_heard([[0.2, 0.3, 0.5]], rare_class=2).tolist()
    [[0.4, 0.6, 0.0]]
    """
    said = np.array(probabilities, dtype=np.float64)
    if said.ndim != 2 or not 0 <= rare_class < said.shape[1]:
        raise ValueError(f"class {rare_class} of probabilities {said.shape}; give [N, C] and a class from 0 to C − 1")
    said[:, rare_class] = 0
    # All the rest may have underflowed; then nothing is known.
    known = np.maximum(said.sum(axis=1, keepdims=True), 1e-300)
    return said / known


def relatives(taxonomy: Taxonomy, leaf: int, level: int) -> int:
    """How many other leaves share the node of `leaf` at a level: 0 where only chance could name it, unheard.

    Taught in chapter 15.

    >>> tree = Taxonomy.from_paths([("fish", "ray"), ("fish", "shark"), ("tree", "oak")])
    >>> relatives(tree, 0, level=0), relatives(tree, 2, level=0)
    (1, 0)
    """
    nodes = taxonomy.coarsen(np.arange(len(taxonomy.paths)), level)
    return int((nodes == nodes[leaf]).sum()) - 1


def features_before_head(model: nn.Module, batches: Iterable[tuple[Tensor, Any]]) -> Floats:
    """What the last linear layer of a network is given for each item: [N, D], without gradients, in eval mode.

    Raises:
        ValueError: if the network has no linear layer.

    Taught in chapter 15.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ValueError("the network has no linear layer, so nothing stands before its head; give one with a head")
    kept: list[Tensor] = []
    hook = layers[-1].register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0].detach().float().cpu()))
    training, place = model.training, next(model.parameters()).device
    model.eval()
    try:
        with torch.no_grad():
            for inputs, _ in batches:
                model(inputs.to(place))
    finally:
        hook.remove()
        model.train(training)
    return torch.cat(kept).numpy().astype(np.float64)


class Answers:
    """What a recipe with `rare` gathers, class by class: answers with no, one and several recordings shown.

    Args:
        targets: [N] classes of all clips.
        num_classes: C.
        shots: numbers of recordings to be shown.

    Attributes:
        probabilities: for each number of shots, 0 for none, [N, C]: each clip answered when its class was the rare one.
    """

    def __init__(self, targets: NDArray[np.int64], num_classes: int, shots: tuple[int, ...]) -> None:
        self.targets, self.num_classes, self.shots = targets, num_classes, shots
        self.probabilities = {k: np.zeros((len(targets), num_classes)) for k in (0, *shots)}
        self._common: dict[int, list[NDArray[np.int64]]] = {k: [] for k in (0, *shots)}

    def add(
        self,
        rare_class: int,
        *,
        features: Floats,
        recordings: NDArray[Any],
        learnt: NDArray[np.int64],
        asked: NDArray[np.int64],
        said: ArrayLike,
        seed: int,
    ) -> None:
        """The answers of the network that has heard nothing of a class.

        Args:
            rare_class: the class.
            features: [N, D] of all clips.
            recordings: [N] of all clips.
            learnt: the clips that it was trained on.
            asked: the clips that it was not trained on: those of the rare class, and some common ones.
            said: [len(asked), C], the network's own probabilities of these.
            seed: of the draws.
        """
        is_rare, ours = self.targets == rare_class, self.targets[asked] == rare_class
        others, true = asked[~ours], self.targets[asked[~ours]]
        own = never_heard(said, rare_class)
        self.probabilities[0][asked[ours]] = own[ours]
        self._common[0].append(np.stack([true, own[~ours].argmax(axis=1)]))
        common = features[learnt], self.targets[learnt]
        scale = sharpness(*common, recordings[learnt], self.num_classes)
        for shots in self.shots:
            self.probabilities[shots][is_rare] = with_few_recordings(
                common,
                (features[is_rare], recordings[is_rare]),
                rare_class=rare_class,
                num_classes=self.num_classes,
                shots=shots,
                scale=scale,
                seed=seed,
            )
            means = class_means(*common, self.num_classes)
            shown = np.random.default_rng((seed, rare_class)).permutation(np.unique(recordings[is_rare]))[:shots]
            means[rare_class] = features[is_rare & np.isin(recordings, shown)].mean(axis=0)
            found = nearest(features[others], means).argmax(axis=1)
            self._common[shots].append(np.stack([true, np.where(found == rare_class, -1, found)]))

    def common(self) -> dict[str, dict[str, float]]:
        """For each number of shots how the common clips fared beside the rare class.

        `accuracy` of the clips, `called_rare`, the share that went to the rare class, and `n`, their number.
        """
        table = {}
        for shots, parts in self._common.items():
            true, found = np.concatenate(parts, axis=1)
            table[str(shots)] = {
                "accuracy": float((true == found).mean()),
                "called_rare": float((found == -1).mean()),
                "n": len(true),
            }
        return table


def shots_of(recipe: Recipe) -> tuple[int, ...]:
    """The numbers of recordings that a recipe's `rare` shows.

    Raises:
        ValueError: if `rare` holds something else than rising whole numbers `shots`, or there are no folds.
    """
    unknown = sorted(set(recipe.rare) - {"shots"})
    if unknown:
        raise ValueError(f"rare has {', '.join(unknown)}; it knows shots")
    shots = recipe.rare.get("shots")
    if (
        not isinstance(shots, list)
        or not shots
        or not all(type(k) is int and k >= 1 for k in shots)
        or shots != sorted(set(shots))
    ):
        raise ValueError(f"rare.shots = {shots}; give rising numbers of recordings from 1 on, such as [1, 2, 5]")
    if not recipe.folds:
        raise ValueError("rare leaves out a fold of the common classes beside the rare one; set folds, such as 5")
    return tuple(shots)


def split_name(shots: int) -> str:
    """The name under which a record keeps the answers with so many recordings shown.

    >>> split_name(0)
    'val-0-shots'
    """
    return f"val-{shots}-shots"


def head_name(level: int) -> str:
    """The name under which a record keeps what the head of a coarser level said with no recording shown.

    >>> head_name(0)
    'val-0-shots-level-0'
    """
    return f"{split_name(0)}-level-{level}"


def said_by_head(run: Run, level: int) -> Predictions:
    """What the head of a coarser level said of clips of the rare class, of which the network was never shown one.

    Classes and targets are the nodes of that level, in the order of the tree that the network has learned. The clips
    are those of `shown(run, 0)`, in the same order.

    Args:
        run: of a recipe with `rare` whose network has heads on several levels ("joint" or "two-stage").
        level: of the network's own tree, 0 for the coarsest.

    Raises:
        ValueError: if the record keeps no such answers; the message says why.

    Taught in chapter 15.
    """
    name = head_name(level)
    if name not in run.predictions:
        kept = [one.rpartition("-")[2] for one in run.predictions if one.startswith(head_name(0)[:-1])]
        none = (
            "none of any: its recipe has no rare, or its network one head for the leaves only, or it was recorded "
            "before these answers were kept; record it again with hierarchy.mode = 'joint' and rare"
        )
        raise ValueError(
            f"the record keeps no answers of a head for level {level}, but "
            f"{'of levels ' + ', '.join(kept) if kept else none}"
        )
    return run.predictions[name]


def shown(run: Run, shots: int) -> Run:
    """The same run with the answers that it gave with so many recordings shown in place of its "val".

    Tables and intervals of `clslab.records` and `clslab.tree_records` then speak of these.

    Args:
        run: of a recipe with `rare`.
        shots: number of recordings of the rare class; 0 for none, where the species is always wrong.

    Raises:
        ValueError: if the record keeps no such answers; the message lists those that it keeps.

    Taught in chapter 15.
    """
    name = split_name(shots)
    if name not in run.predictions:
        kept = [one.split("-")[1] for one in run.predictions if one.startswith("val-") and one.endswith("-shots")]
        raise ValueError(
            f"the record keeps no answers with {shots} recordings shown, but "
            f"{'with ' + ', '.join(kept) if kept else 'is not one of rare classes: its recipe has no rare'}"
        )
    return dataclasses.replace(run, predictions={"val": run.predictions[name]}, metrics={"val": run.metrics[name]})


def _closeness(rows: Floats, means: Floats) -> Floats:
    """−(squared distance) [N, C], −∞ for a class without a mean."""
    if rows.shape[1] != means.shape[1]:
        raise ValueError(
            f"features have {rows.shape[1]} numbers and means {means.shape[1]}; take both from one network"
        )
    known = ~np.isnan(means).any(axis=1)
    if not known.any():
        raise ValueError("no class has a mean; give features of at least one class")
    found = np.full((len(rows), len(means)), -np.inf)
    found[:, known] = -((rows[:, None, :] - means[None, known, :]) ** 2).sum(axis=2)
    return found


def _rows(features: ArrayLike) -> Floats:
    rows = np.asarray(features, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"features have shape {rows.shape}; give [N, D], one row per item")
    return rows
