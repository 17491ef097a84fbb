"""A network with an answer for every level of a tree: coarse labels leave it early, fine ones late.

A backbone is cut into as many parts as the tree has levels. After each part a head answers its level; between two parts
an adapter may map the features of the one into what the other expects. The bird-sound post trains such a network in
two stages:

1. the shallow parts learn the coarse labels alone (`MultilayerNet.shallow_classifier`);
2. they are connected to the deep part (`MultilayerNet.connect`), which learns the fine label. From then on the shallow
   weights are `updated` with the rest, or `fixed`: no gradient, and batch norm at rest, so that not even a running mean
   moves.

Without the first stage `fixed` would freeze random weights. Training all heads at once instead, in one stage, is B-CNN
(arXiv:1709.09890): the comparison.

Taught in chapter 15.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias, cast, get_args

import torch
from torch import Tensor, nn

from clslab.device import Machine, borrowed
from clslab.models import create, list_models
from clslab.models.transfer import BACKBONES, Transfer, build
from clslab.taxonomy import Taxonomy

Shallow: TypeAlias = Literal["updated", "fixed"]
Adapter: TypeAlias = Literal["none", "conv", "coral"]
Temporal: TypeAlias = Literal["pool", "gru", "attention"]

__all__ = ["MultilayerNet", "Recolour", "ShallowClassifier", "TemporalEncoder", "pooled", "stages_of"]


# [multilayer]
class MultilayerNet(nn.Module):
    """A backbone cut into one part per level of labels, with a head after each.

    Args:
        backbone: a name that `stages_of` can cut: of `clslab.models.list_models()` ("resnet9", "mobilenet"; not of a
            transformer or "nasnet"), of a borrowed network ("efficientnet_lite0"), or any `nn.Sequential` of blocks
            from pictures to feature maps.
        taxonomy: the tree; L levels.
        shallow: what happens to the shallow parts once they are connected: "updated" trains them with the rest, "fixed"
            leaves them as the first stage made them, statistics of batch norm included.
        adapter: what stands between the shallow parts and the deepest one: "none"; "conv", a learnt 1 × 1 convolution
            with batch norm that starts as the identity; "coral", a fixed linear map that gives the features another
            mean and covariance, computed by `connect` (`Recolour`).
        temporal: how the last feature map becomes a vector: "pool", which does not know the order of its columns
            (`pooled`); "gru" or "attention", which read them as moments in time (`TemporalEncoder`).
        in_channels: channels of the pictures.
        cuts: for each level but the finest the number of stages before its head; spread evenly by default.
        bands: number of stripes of frequency that the coarse heads keep apart (`pooled`), a divisor of the rows that
            their features have. With 1 they take the mean over all.
        options: further arguments of the backbone (`width`, `pretrained`).

    Shapes: pictures `[B, in_channels, H, W]` to a tuple of L logits `[B, C_l]`, coarse to fine. For "gru" and
    "attention" W is time.

    Raises:
        ValueError: for an unknown name, a backbone that cannot be cut, or cuts that do not rise.

    Source: the bird-sound post; B-CNN, arXiv:1709.09890. Taught in chapter 15.
    """

    def __init__(
        self,
        backbone: str | nn.Sequential,
        taxonomy: Taxonomy,
        *,
        shallow: Shallow = "updated",
        adapter: Adapter = "none",
        temporal: Temporal = "pool",
        in_channels: int = 3,
        cuts: Sequence[int] | None = None,
        bands: int = 1,
        **options: Any,
    ) -> None:
        super().__init__()
        if type(bands) is not int or bands < 1:
            raise ValueError(f"bands = {bands!r}; give how many stripes the coarse heads keep apart, 1 or more")
        for name, value, kind in (("shallow", shallow, Shallow), ("adapter", adapter, Adapter)):
            _check_known(name, value, get_args(kind))
        stages = stages_of(backbone, in_channels=in_channels, **options)
        self.taxonomy, self.shallow, self.bands, self.connected = taxonomy, shallow, bands, False
        self.cuts = _checked_cuts(cuts, len(stages), taxonomy.levels)
        self.parts = nn.ModuleList(
            nn.Sequential(*stages[start:end])
            for start, end in zip((0, *self.cuts), (*self.cuts, len(stages)), strict=True)
        )
        channels = _channels_after(self.parts, in_channels)
        # Between two shallow parts nothing may stand: it would change what a fixed part is given.
        earlier: list[Adapter] = ["none" for _ in channels[:-2]]
        self.adapters = nn.ModuleList(map(_adapter, [*earlier, adapter], channels[:-1]))  # none in a tree of one level
        self.encoder = TemporalEncoder(channels[-1], temporal)
        widths = [width * bands for width in channels[:-1]] + channels[-1:]
        self.heads = nn.ModuleList(nn.Linear(width, taxonomy.num_classes(level)) for level, width in enumerate(widths))

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Logits of every level, coarse to fine."""
        features, answers = pictures, []
        for level, (part, head) in enumerate(zip(self.parts, self.heads, strict=True)):
            if level:
                features = self.adapters[level - 1](features)
            features = part(features)
            last = level == len(self.parts) - 1
            answers.append(head(self.encoder(features) if last else pooled(features, self.bands)))
        return tuple(answers)

    def shallow_classifier(self) -> ShallowClassifier:
        """The shallow parts with their heads, for stage one: training on the coarse labels. Weights are shared."""
        return ShallowClassifier(self)

    def connect(
        self, loader: Iterable[Any] | None = None, *, like: nn.Module | None = None, machine: Machine | None = None
    ) -> MultilayerNet:
        """End stage one: compute the maps of "coral", and fix the shallow parts if they are to be fixed.

        Args:
            loader: training batches `(inputs, targets)`, without augmentation; needed by "coral" alone.
            like: a network of the same kind and cuts whose features after each part the deep part is to be shown (a
                flat one, trained or borrowed). `None` gives every channel mean 0 and variance 1, uncorrelated.
            machine: where to compute.

        Raises:
            ValueError: if a loader is missing.
        """
        for index, adapter in enumerate(self.adapters):
            if isinstance(adapter, Recolour):
                if loader is None:
                    raise ValueError('adapter = "coral" is computed from pictures; give connect a loader of them')
                target = None if like is None else _moments(cast(MultilayerNet, like), index, loader, machine)
                adapter.fit(_moments(self, index, loader, machine), target)
        self.connected = True
        if self.shallow == "fixed":
            for module in self._fixed_modules():
                module.requires_grad_(False)
        self.train(self.training)
        return self

    def train(self, mode: bool = True) -> MultilayerNet:
        """Set train or eval mode; what is fixed stays in eval mode."""
        super().train(mode)
        if self.connected and self.shallow == "fixed":
            for module in self._fixed_modules():
                module.eval()
        return self

    def _fixed_modules(self) -> list[nn.Module]:
        return [*self.parts[:-1], *self.heads[:-1]]


# [/multilayer]


class ShallowClassifier(nn.Module):
    """All parts of a `MultilayerNet` but the last, with their heads; the weights are those of the network itself.

    Shapes: pictures `[B, in_channels, H, W]` to a tuple of L − 1 logits, coarse to fine.

    Raises:
        ValueError: if the tree has one level only, so that there is nothing shallow.

    Taught in chapter 15.
    """

    def __init__(self, network: MultilayerNet) -> None:
        super().__init__()
        if len(network.parts) < 2:
            raise ValueError("a tree of one level has no coarse labels; train the network itself")
        self.parts, self.heads = network.parts[:-1], network.heads[:-1]
        self.adapters, self.bands = network.adapters[:-1], network.bands

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Logits of every level but the finest."""
        features, answers = pictures, []
        for level, (part, head) in enumerate(zip(self.parts, self.heads, strict=True)):
            features = part(self.adapters[level - 1](features) if level else features)
            answers.append(head(pooled(features, self.bands)))
        return tuple(answers)


# [recolour]
class Recolour(nn.Module):
    """A fixed linear map of channels that gives features another mean and covariance (CORAL).

    Features are whitened by the inverse root of their own covariance and coloured by the root of the wanted one. Until
    `fit` was called it changes nothing. It has no parameters: its matrix is a buffer.

    Args:
        channels: D.

    Shapes: maps `[B, D, H, W]` to the same shape.

    Source: Sun, Feng and Saenko, arXiv:1511.05547. Taught in chapter 15.
    """

    matrix: Tensor
    shift: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.eye(channels))
        self.register_buffer("shift", torch.zeros(channels))

    def fit(self, own: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor] | None = None) -> Recolour:
        """Compute the map from the mean `[D]` and covariance `[D, D]` of the features, and those that are wanted.

        Args:
            own: as the features are.
            wanted: as they are to be; `None` for mean 0 and the identity.
        """
        mean, covariance = own
        size = len(mean)
        if wanted is None:
            wanted = torch.zeros(size, dtype=mean.dtype), torch.eye(size, dtype=mean.dtype)
        # A little of the mean variance on the diagonal: channels that never fire would be blown up without it.
        ridge = 1e-3 * covariance.diagonal().mean().clamp_min(1e-12) * torch.eye(size, dtype=mean.dtype)
        matrix = _power(wanted[1], 0.5) @ _power(covariance + ridge, -0.5)
        self.matrix.copy_(matrix)
        self.shift.copy_(wanted[0] - matrix @ mean)
        return self

    def forward(self, maps: Tensor) -> Tensor:
        """The same maps, their channels mixed and shifted."""
        mixed = torch.einsum("dc,bchw->bdhw", self.matrix.to(maps.dtype), maps)
        return mixed + self.shift.to(maps.dtype)[:, None, None]


# [/recolour]


# [temporal]
def pooled(maps: Tensor, bands: int = 1) -> Tensor:
    """Vectors `[B, D · bands]` of feature maps `[B, D, F, T]`: mean plus maximum over time of the mean over frequency.

    The maximum finds a call that fills a tenth of the clip; the mean hears how often it comes. With several bands the
    mean over frequency is taken in so many stripes of equal height, one after the other: how high a song lies is kept.

    Raises:
        ValueError: if the rows of the maps cannot be divided into `bands` equal stripes.

    Source: the pooling of Kong et al., arXiv:1912.10211. Taught in chapter 15.
    """
    if bands < 1 or maps.shape[2] % bands:
        raise ValueError(f"bands = {bands}, and the maps have {maps.shape[2]} rows; take a number that divides them")
    moments = maps.unflatten(2, (bands, -1)).mean(dim=3)
    return (moments.mean(dim=3) + moments.amax(dim=3)).flatten(1)


class TemporalEncoder(nn.Module):
    """From a feature map to a vector, with or without an eye for the order of its columns.

    "pool" is `pooled`: the same columns in another order give the same vector. "gru" reads the columns
    (the mean over frequency of each) from left to right and from right to left, and keeps the mean of what both say.
    "attention" takes a weighted mean of them, with weights that each column computes from itself: it chooses moments,
    but does not know their order.

    Args:
        channels: D.
        kind: "pool", "gru" or "attention".

    Shapes: maps `[B, D, F, T]` to vectors `[B, D]`.

    Raises:
        ValueError: for an unknown kind, or an odd number of channels for "gru".

    Source: attention as in Ilse et al., arXiv:1802.04712. Taught in chapter 15.
    """

    def __init__(self, channels: int, kind: Temporal = "pool") -> None:
        super().__init__()
        _check_known("temporal", kind, get_args(Temporal))
        self.kind = kind
        if kind == "gru":
            if channels % 2:
                raise ValueError(f"reading in two directions needs an even number of channels, not {channels}")
            self.gru = nn.GRU(channels, channels // 2, batch_first=True, bidirectional=True)
        elif kind == "attention":
            self.score = nn.Sequential(
                nn.Linear(channels, channels // 2 + 1), nn.Tanh(), nn.Linear(channels // 2 + 1, 1)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """One vector per item."""
        if self.kind == "pool":
            return pooled(maps)
        moments = maps.mean(dim=2).transpose(1, 2)  # [B, T, D]
        if self.kind == "gru":
            return self.gru(moments)[0].mean(dim=1)
        weights = self.score(moments).softmax(dim=1)
        return (weights * moments).sum(dim=1)


# [/temporal]


def stages_of(backbone: str | nn.Sequential, *, in_channels: int = 3, **options: Any) -> list[nn.Module]:
    """The blocks of a backbone in a row, from the picture to the last feature map.

    Of the zoo's networks those can be cut whose every block takes what the one before it gives: all but the
    transformers "cait_xxs24", "swin_tiny" and "vit_tiny", which have no feature maps, and "nasnet", whose cells take
    the results of two cells. Of the borrowed ones "efficientnet_lite0", since timm's EfficientNets are such rows.

    Args:
        backbone: as for `MultilayerNet`.
        in_channels: channels of the pictures.
        options: further arguments of the backbone.

    Raises:
        ValueError: if there is no such backbone, or its blocks do not stand in one row.

    Taught in chapter 15.
    """
    if isinstance(backbone, nn.Sequential):
        if options:
            raise ValueError(f"{', '.join(options)} cannot be given beside a network that is built already")
        return list(backbone)
    found: list[nn.Module] = []
    if backbone in list_models():
        found = _zoo_stages(create(backbone, num_classes=2, in_channels=in_channels, **options))
    elif backbone in BACKBONES:
        found = _borrowed_stages(build(backbone, num_classes=2, in_channels=in_channels, train="all", **options))
    if not found:
        raise ValueError(
            f"backbone = {backbone!r} cannot be cut into parts; take resnet9, mobilenet or another network of the zoo "
            "but a transformer or nasnet (from random weights), efficientnet_lite0 (borrowed ones), or give an "
            "nn.Sequential of blocks"
        )
    return found


_IN_A_ROW = ("entry", "middle", "exit", "blocks", "stages")
"""What the zoo calls a sequence of blocks; anything else before the pool or the head is one block."""


def _zoo_stages(network: nn.Module) -> list[nn.Module]:
    """The blocks of a network of the zoo, whose modules are declared in the order in which they are used."""
    found: list[nn.Module] = []
    for name, module in network.named_children():
        if name in ("pool", "head"):
            return found
        if isinstance(module, nn.ModuleList):
            return []
        if name in _IN_A_ROW:
            found += cast(nn.Sequential, module)
        elif not isinstance(module, nn.Identity):
            found.append(module)
    return []


def _borrowed_stages(model: Transfer) -> list[nn.Module]:
    """Stem, blocks and last convolution of a network of timm's EfficientNet family; nothing of any other."""
    network: Any = model.backbone
    if not hasattr(network, "conv_stem") or not hasattr(network, "conv_head"):
        return []
    stem = nn.Sequential(network.conv_stem, network.bn1)
    last = nn.Sequential(network.conv_head, network.bn2)
    return [stem, *cast(nn.Sequential, network.blocks), last]


def _checked_cuts(cuts: Sequence[int] | None, stages: int, levels: int) -> tuple[int, ...]:
    if cuts is None:
        cuts = [round(stages * (level + 1) / levels) for level in range(levels - 1)]
    bounds = (0, *cuts, stages)
    if len(cuts) != levels - 1 or any(end <= start for start, end in itertools.pairwise(bounds)):
        raise ValueError(
            f"cuts = {tuple(cuts)}: a tree of {levels} levels needs {levels - 1} rising numbers between 1 and "
            f"{stages - 1}, the stages before each coarse head"
        )
    return tuple(cuts)


def _channels_after(parts: nn.ModuleList, in_channels: int) -> list[int]:
    """Channels of the features after each part, found by sending one grey picture through."""
    training = [part.training for part in parts]
    parts.eval()
    found, features = [], torch.zeros(1, in_channels, 64, 64)
    with torch.no_grad():
        for part in parts:
            features = part(features)
            found.append(features.shape[1])
    for part, mode in zip(parts, training, strict=True):
        part.train(mode)
    return found


def _adapter(kind: Adapter, channels: int) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    if kind == "coral":
        return Recolour(channels)
    convolution = nn.Conv2d(channels, channels, 1, bias=False)
    nn.init.dirac_(convolution.weight)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


def _moments(
    network: MultilayerNet, index: int, loader: Iterable[Any], machine: Machine | None
) -> tuple[Tensor, Tensor]:
    """Mean [D] and covariance [D, D] of the features after a part, over items and places."""
    total, first, second = 0, torch.zeros(()), torch.zeros(())
    with borrowed(network, training=False, machine=machine) as machine, torch.no_grad():
        for batch in loader:
            features = machine.place(batch)[0]
            for level in range(index + 1):
                features = network.parts[level](network.adapters[level - 1](features) if level else features)
            columns = features.float().permute(0, 2, 3, 1).flatten(0, 2).double().cpu()
            total += len(columns)
            first = first + columns.sum(dim=0)
            second = second + columns.T @ columns
    if total == 0:
        raise ValueError("the loader gave no batch; give it at least one picture")
    mean = first / total
    return mean, second / total - torch.outer(mean, mean)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of a symmetric matrix whose eigenvalues are not negative."""
    values, vectors = torch.linalg.eigh(matrix.double())
    return (vectors * values.clamp_min(1e-12).pow(exponent)) @ vectors.T


def _check_known(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} = {value!r} is unknown; choose one of {', '.join(known)}")
