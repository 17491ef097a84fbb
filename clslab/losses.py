"""The losses of a recipe, by name.

================  ==========================================================================  ====================
name              what is averaged over the batch                                             options
================  ==========================================================================  ====================
"cross-entropy"   −log p of the true class                                                    weight
"nll"             the same, of a model that ends in a `LogSoftmax`                            weight
"focal"           −(1 − p)^γ log p                                                            gamma, alpha or beta
"ohem"            −log p of the items with the largest loss                                   keep
"class-balanced"  −w log p, w falling with the number of training pictures of the class       beta
"logit-adjusted"  −log p after the log of the class shares was added to the logits            tau
"hierarchical"    −log p in steps from the root of a tree of labels, the first weighing most  alpha, tree
"soft-labels"     −Σ s log p, the shares s given to the relatives of the true class           beta, tree
================  ==========================================================================  ====================

The first two take every item for what it is. The others answer a question about the data: are there many items that are
learnt already (focal, ohem), classes with few pictures (class-balanced, logit-adjusted), or a tree of labels that makes
some mistakes worse than others (hierarchical, soft-labels; `clslab.hierarchy`)? With `tree = "random"` these two read a
tree of the same shape that means nothing, dealt by the recipe's seed: the control for what the tree knows.

Every loss keeps what it was built with: calling it changes nothing in it. Value and gradient are finite for logits far
beyond what a network gives. Losses are computed in single precision at least, whatever the network computes in.

Taught in chapters 2, 12 and 15.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn

from clslab.hierarchy import HierarchicalCrossEntropy, SoftLabelLoss
from clslab.hierarchy import soft_labels as soft_labels
from clslab.recipe import Recipe
from clslab.taxonomy import Taxonomy

Reduction = Literal["mean", "sum", "none"]


# [focal]
class FocalLoss(nn.Module):
    """Cross-entropy that turns away from what is learnt already: −α (1 − p)^γ log p, p of the true class.

    This is the form for one class out of many, with the softmax. `torchvision.ops.sigmoid_focal_loss` is another loss:
    it asks each class for itself, with a sigmoid, and sums over classes; the two differ even with γ = 0.

    Args:
        gamma: at least 0; 0 is plain cross-entropy.
        alpha: [C] weights of the classes, none negative; `None` for 1 each.
        reduction: "mean" (over the B items, whatever their weights), "sum" or "none".

    Shapes: logits `[B, C]`, targets long `[B]`; a number, or `[B]` with "none".

    Raises:
        ValueError: if a setting is out of range, or targets are not one class per item. Probabilities as targets are
            refused: the paper does not say what p is then.

    Source: Lin et al., arXiv:1708.02002. Taught in chapter 12.

    >>> logits, targets = torch.tensor([[0.0, 0.0]]), torch.tensor([1])
    >>> round(float(FocalLoss(gamma=2.0)(logits, targets) / FocalLoss(gamma=0.0)(logits, targets)), 6)
    0.25
    """

    alpha: Tensor | None

    def __init__(
        self, gamma: float = 2.0, alpha: Sequence[float] | Tensor | None = None, reduction: Reduction = "mean"
    ) -> None:
        super().__init__()
        if not 0 <= gamma < math.inf:
            raise ValueError(f"gamma = {gamma} is out of range; it has to be at least 0 and finite")
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f'reduction = {reduction!r} is unknown; choose "mean", "sum" or "none"')
        self.gamma, self.reduction = float(gamma), reduction
        self.register_buffer("alpha", None if alpha is None else _class_weights("alpha", alpha))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch."""
        _check_classes(self, logits, targets)
        log_p = _at_least_single(logits).log_softmax(dim=1).gather(1, targets[:, None]).squeeze(1)
        # 1 − p from log p, without the loss of digits near p = 1. Where p rounds to 1, a power below 1 would have an
        # infinite slope at 0; the smallest number that is not 0 stands for it.
        missing = -torch.expm1(log_p)
        missing = missing.clamp(min=torch.finfo(missing.dtype).tiny)
        losses = -(missing**self.gamma) * log_p
        if self.alpha is not None:
            # p is that of the network: the weights multiply the loss and never enter p.
            losses = losses * self.alpha.to(losses.dtype)[targets]
        if self.reduction == "none":
            return losses
        return losses.mean() if self.reduction == "mean" else losses.sum()


# [/focal]


# [ohem]
class OHEMLoss(nn.Module):
    """Cross-entropy of the hardest items of a batch only ("online hard example mining").

    Of B items the ⌈keep · B⌉ with the largest loss count, equally; the others have no gradient. Where several processes
    train together, each chooses among its own items.

    Args:
        keep: share of the items, above 0 and at most 1; 1 is plain cross-entropy.
        label_smoothing: as for `torch.nn.CrossEntropyLoss`.

    Shapes: logits `[B, C]`; targets long `[B]`, or probabilities `[B, C]`.

    Raises:
        ValueError: if `keep` is out of range.

    Source: Shrivastava et al., arXiv:1604.03540, there for the boxes of a detector. Taught in chapter 12.

    >>> logits, targets = torch.tensor([[9.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1, 0])
    >>> round(float(OHEMLoss(keep=0.5)(logits, targets)), 4)  # two of three: ln 2 each
    0.6931
    """

    def __init__(self, keep: float = 0.5, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 < keep <= 1:
            raise ValueError(f"keep = {keep} is out of range; give the share of items to keep, above 0 and at most 1")
        self.keep, self.label_smoothing = float(keep), label_smoothing

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch."""
        losses = F.cross_entropy(
            _at_least_single(logits), targets, reduction="none", label_smoothing=self.label_smoothing
        )
        # A product such as 0.07 · 100 lies a rounding above the whole number that is meant.
        count = math.ceil(self.keep * len(losses) - 1e-9)
        return losses.topk(max(1, count), sorted=False).values.mean()


# [/ohem]


# [class-balanced]
def class_balanced_weights(counts: ArrayLike | Tensor, beta: float) -> Tensor:
    """Weights [C] that fall with the number of pictures of a class, (1 − β) / (1 − β^n), scaled to sum to C.

    β = 0 weighs all classes equally; as β nears 1, the weights near 1/n.

    Args:
        counts: [C] training pictures of each class.
        beta: at least 0 and below 1; the paper tries 0.9, 0.99, 0.999 and 0.9999.

    Raises:
        ValueError: if a class has no picture, a count is no whole number, or `beta` is out of range.

    Source: Cui et al., arXiv:1901.05555. Taught in chapter 12.

    >>> [round(float(weight), 4) for weight in class_balanced_weights([1, 2], beta=0.5)]  # as 1 to 2/3
    [1.2, 0.8]
    """
    sizes = _checked_counts(counts)
    if not 0 <= beta < 1:
        raise ValueError(f"beta = {beta} is out of range; it has to be at least 0 and below 1 (at 1 use 1 / counts)")
    # 1 − β^n as expm1, in double precision: with β = 0.9999 and n = 1 the difference has four digits left.
    weights = torch.ones_like(sizes) if beta == 0 else 1 / -torch.expm1(sizes * math.log(beta))
    return (weights * (len(sizes) / weights.sum())).float()


class ClassBalancedLoss(nn.Module):
    """Cross-entropy in which the items of rare classes weigh more.

    The mean is over the B items, as the paper writes it. `torch.nn.CrossEntropyLoss(weight)` divides by the sum of the
    batch's weights instead, which takes back part of the weighting: of a batch that holds one class only, all of it.

    Args:
        counts: [C] training pictures of each class.
        beta: see `class_balanced_weights`.
        label_smoothing: as for `torch.nn.CrossEntropyLoss`.

    Shapes: logits `[B, C]`; targets long `[B]`, or probabilities `[B, C]`.

    Raises:
        ValueError: for the reasons of `class_balanced_weights`.

    Source: Cui et al., arXiv:1901.05555. Taught in chapter 12.

    >>> loss = ClassBalancedLoss([1, 2], beta=0.5)
    >>> round(float(loss(torch.zeros(1, 2), torch.tensor([0])) / math.log(2)), 4)
    1.2
    """

    weight: Tensor

    def __init__(self, counts: ArrayLike | Tensor, beta: float = 0.999, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.register_buffer("weight", class_balanced_weights(counts, beta))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch."""
        logits = _at_least_single(logits)
        weight = self.weight.to(logits.dtype)
        total = F.cross_entropy(logits, targets, weight, reduction="sum", label_smoothing=self.label_smoothing)
        return total / len(logits)


# [/class-balanced]


# [logit-adjusted]
class LogitAdjustedLoss(nn.Module):
    """Cross-entropy of logits + τ · log(share of the class among the training pictures).

    A network that is trained with the shares added learns what lies beyond them. It is used without: its plain logits
    then aim at the balanced accuracy (τ = 1), not at the accuracy on a test set with the same shares.

    Args:
        counts: [C] training pictures of each class.
        tau: strength, at least 0; 0 is plain cross-entropy.
        label_smoothing: as for `torch.nn.CrossEntropyLoss`.

    Shapes: logits `[B, C]`; targets long `[B]`, or probabilities `[B, C]`.

    Raises:
        ValueError: if a class has no picture, a count is no whole number, or `tau` is out of range.

    Source: Menon et al., arXiv:2007.07314. Taught in chapter 12.

    >>> loss = LogitAdjustedLoss([1, 3])
    >>> round(float(loss(torch.zeros(1, 2), torch.tensor([0])).exp()), 4)  # 1 / 0.25
    4.0
    """

    shift: Tensor

    def __init__(self, counts: ArrayLike | Tensor, tau: float = 1.0, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= tau < math.inf:
            raise ValueError(f"tau = {tau} is out of range; it has to be at least 0 and finite")
        sizes = _checked_counts(counts)
        self.label_smoothing = label_smoothing
        self.register_buffer("shift", (tau * (sizes / sizes.sum()).log()).float())

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of a batch."""
        logits = _at_least_single(logits)
        shifted = logits + self.shift.to(logits.dtype)
        return F.cross_entropy(shifted, targets, label_smoothing=self.label_smoothing)


# [/logit-adjusted]


# ---------------------------------------------------------------------------- by name


@dataclass(frozen=True)
class Known:
    """What is known of the data when a loss is built.

    Attributes:
        counts: [C] training pictures of each class.
        taxonomy: the tree of labels.
    """

    counts: Tensor | None
    taxonomy: Taxonomy | None


Build = Callable[[Recipe, Known], nn.Module]


@dataclass(frozen=True)
class Kind:
    """What a name stands for, and what goes with it.

    Attributes:
        build: makes the loss from the recipe and what is known of the data.
        options: what `loss_options` may hold.
        smooths: whether `label_smoothing` may be above 0.
        takes_probabilities: whether targets may be probabilities `[B, C]`, as MixUp and CutMix make them.
        needs_counts: whether it cannot be built without the counts.
        needs_tree: whether it cannot be built without a tree of labels.
    """

    build: Build
    options: tuple[str, ...]
    smooths: bool = True
    takes_probabilities: bool = True
    needs_counts: bool = False
    needs_tree: bool = False


def create(recipe: Recipe, counts: ArrayLike | Tensor | None = None, taxonomy: Taxonomy | None = None) -> nn.Module:
    """The loss that the recipe names, the mean over the batch.

    "cross-entropy" takes logits `[B, C]` and targets `[B]` (classes) or `[B, C]` (probabilities),
    smoothed by `label_smoothing`. "nll" takes the output of a `LogSoftmax`; the two are equal when
    the model ends in one. The others, and what `loss_options` may hold for each, are at the top of this file.

    Args:
        recipe: `loss`, `loss_options` and `label_smoothing` are read.
        counts: [C] training pictures of each class, for the losses that weigh classes by them.
        taxonomy: the tree of labels, for the losses that read it.

    Raises:
        ValueError: for an unknown loss or option, label smoothing with a loss that has none, missing counts or a
            missing tree.

    Taught in chapters 2, 12 and 15.

    >>> create(Recipe(label_smoothing=0.1)).label_smoothing
    0.1
    """
    if recipe.loss not in LOSSES:
        raise ValueError(f"unknown loss {recipe.loss!r}; known are {', '.join(NAMES)}")
    kind, options = LOSSES[recipe.loss], recipe.loss_options
    unknown = sorted(set(options) - set(kind.options))
    if unknown:
        raise ValueError(f"loss_options has {', '.join(unknown)}; {recipe.loss} knows only {', '.join(kind.options)}")
    if recipe.label_smoothing and not kind.smooths:
        raise ValueError(
            f"label_smoothing = {recipe.label_smoothing} needs loss 'cross-entropy' or another that smooths, not "
            f"{recipe.loss!r}; set it to 0"
        )
    if kind.needs_tree and taxonomy is None:
        raise ValueError(
            f"loss = {recipe.loss!r} reads a tree of labels, and {recipe.data} has none here; pass taxonomy= to "
            "losses.create (a run on cifar100 or birds does so by itself), or choose another loss"
        )
    if counts is None and not kind.needs_tree and (kind.needs_counts or "beta" in options):
        raise ValueError(
            f"loss = {recipe.loss!r} weighs the classes by their numbers of training pictures, which are not known "
            "here; pass counts=, one number per class, to losses.create (a run does so by itself)"
        )
    return kind.build(recipe, Known(None if counts is None else torch.as_tensor(counts), taxonomy))


def takes_probabilities(name: str) -> bool:
    """Whether a loss accepts probabilities `[B, C]` as targets, as MixUp and CutMix make them.

    Raises:
        ValueError: for an unknown loss.

    >>> takes_probabilities("cross-entropy"), takes_probabilities("nll")
    (True, False)
    """
    if name not in LOSSES:
        raise ValueError(f"unknown loss {name!r}; known are {', '.join(NAMES)}")
    return LOSSES[name].takes_probabilities


def _cross_entropy(recipe: Recipe, _: Known) -> nn.Module:
    return nn.CrossEntropyLoss(_weight_of(recipe), label_smoothing=recipe.label_smoothing)


def _nll(recipe: Recipe, _: Known) -> nn.Module:
    return nn.NLLLoss(_weight_of(recipe))


def _focal(recipe: Recipe, known: Known) -> nn.Module:
    options: dict[str, Any] = dict(recipe.loss_options)
    if "alpha" in options and "beta" in options:
        raise ValueError("loss_options has alpha and beta, and each of them sets the class weights; leave one out")
    if "beta" in options and known.counts is not None:
        options["alpha"] = class_balanced_weights(known.counts, options.pop("beta"))
    return FocalLoss(**options)


def _ohem(recipe: Recipe, _: Known) -> nn.Module:
    return OHEMLoss(**recipe.loss_options, label_smoothing=recipe.label_smoothing)


def _class_balanced(recipe: Recipe, known: Known) -> nn.Module:
    assert known.counts is not None  # `create` saw to it
    return ClassBalancedLoss(known.counts, **recipe.loss_options, label_smoothing=recipe.label_smoothing)


def _logit_adjusted(recipe: Recipe, known: Known) -> nn.Module:
    assert known.counts is not None  # `create` saw to it
    return LogitAdjustedLoss(known.counts, **recipe.loss_options, label_smoothing=recipe.label_smoothing)


def _tree(recipe: Recipe, known: Known) -> Taxonomy:
    assert known.taxonomy is not None  # `create` saw to it
    return known.taxonomy.kind(recipe.loss_options.get("tree", "true"), recipe.seed)


def _hierarchical(recipe: Recipe, known: Known) -> nn.Module:
    return HierarchicalCrossEntropy(_tree(recipe, known), float(recipe.loss_options.get("alpha", 0.5)))


def _soft_labels(recipe: Recipe, known: Known) -> nn.Module:
    return SoftLabelLoss(_tree(recipe, known), float(recipe.loss_options.get("beta", 10.0)))


LOSSES: Mapping[str, Kind] = {
    "cross-entropy": Kind(_cross_entropy, ("weight",)),
    "nll": Kind(_nll, ("weight",), smooths=False, takes_probabilities=False),
    "focal": Kind(_focal, ("gamma", "alpha", "beta"), smooths=False, takes_probabilities=False),
    "ohem": Kind(_ohem, ("keep",)),
    "class-balanced": Kind(_class_balanced, ("beta",), needs_counts=True),
    "logit-adjusted": Kind(_logit_adjusted, ("tau",), needs_counts=True),
    "hierarchical": Kind(_hierarchical, ("alpha", "tree"), smooths=False, takes_probabilities=False, needs_tree=True),
    "soft-labels": Kind(_soft_labels, ("beta", "tree"), smooths=False, takes_probabilities=False, needs_tree=True),
}
"""Every loss by its name in a recipe."""

NAMES = tuple(LOSSES)


# ---------------------------------------------------------------------------- what is accepted


def _weight_of(recipe: Recipe) -> Tensor | None:
    weight = recipe.loss_options.get("weight")
    return None if weight is None else _class_weights("weight", weight)


def _class_weights(name: str, values: Sequence[float] | Tensor) -> Tensor:
    """A copy of the weights as floats [C]: what the caller changes later, changes no loss."""
    weights = torch.as_tensor(values, dtype=torch.float32).detach().clone()
    if weights.ndim != 1 or not bool((weights >= 0).all()) or not bool(weights.isfinite().all()):
        raise ValueError(f"{name} = {values!r}: give one weight per class, none negative or infinite")
    return weights


def _checked_counts(counts: ArrayLike | Tensor) -> Tensor:
    """The counts [C] in double precision."""
    sizes = torch.as_tensor(counts).to("cpu", torch.float64)
    if sizes.ndim != 1 or len(sizes) == 0 or bool((sizes != sizes.round()).any()):
        raise ValueError(f"counts have shape {tuple(sizes.shape)}: give the whole number of pictures of each class")
    if bool((sizes < 1).any()):
        empty = int((sizes < 1).nonzero()[0])
        raise ValueError(
            f"class {empty} has {int(sizes[empty])} training pictures, which leaves it without a weight; give every "
            "class at least one, or leave the class out"
        )
    return sizes


def _check_classes(loss: nn.Module, logits: Tensor, targets: Tensor) -> None:
    if targets.shape != logits.shape[:1] or targets.is_floating_point():
        raise ValueError(
            f"{type(loss).__name__} has logits {tuple(logits.shape)} and targets {tuple(targets.shape)} of "
            f'{targets.dtype}; give one class per item, or take loss "cross-entropy" for probabilities as targets'
        )


def _at_least_single(logits: Tensor) -> Tensor:
    """Half precision as single: 1 − p and a sum of a hundred exponentials need the digits."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
