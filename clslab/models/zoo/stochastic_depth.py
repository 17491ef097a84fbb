"""Stochastic depth: in training each residual block is sometimes left out, the later the more often.

==================  ================  ======================  ==========  =====
name                paper             residual blocks         parameters   MMAC
==================  ================  ======================  ==========  =====
stochastic_depth18  arXiv:1603.09382  2, 2, 2, 2 basic        11,220,132    555
stochastic_depth50  arXiv:1603.09382  3, 4, 6, 3 bottlenecks  23,705,252  1,298
==================  ================  ======================  ==========  =====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels in evaluation, where
every block takes part. In training a quarter of the blocks is left out on average and costs nothing.

What was adapted: the networks are those of `clslab.models.zoo.resnet`, with its stem for small pictures; the paper's
own network for CIFAR has 110 layers of 16 to 64 channels.

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from clslab.models.zoo.resnet import BasicBlock, Bottleneck, ResNet

PAPER_WIDTH = 64


class SometimesLeftOut(nn.Module):
    """The residual of a block, left out of some training steps.

    In training the whole batch keeps it or leaves it out: one draw for a batch, as in the paper. What is left out is
    not computed, and its batch norm learns nothing from this batch. In evaluation it is multiplied by its probability
    to be kept, so that the next layer sees what it saw in training on average. (`torchvision.ops.StochasticDepth`
    divides in training instead, which has the same average.)

    Args:
        residual: what is left out.
        survival: probability that it is kept, from 0 to 1.

    Raises:
        ValueError: if `survival` is no probability.

    Source: arXiv:1603.09382. Taught in chapter 11.
    """

    def __init__(self, residual: nn.Module, survival: float) -> None:
        super().__init__()
        if not 0 <= survival <= 1:
            raise ValueError(f"survival is {survival}; give a probability from 0 to 1")
        self.residual = residual
        self.survival = survival

    def forward(self, maps: Tensor) -> Tensor:
        """The residual of maps `[B, C, H, W]`, or a single zero, to be added to the shortcut."""
        if not self.training:
            return self.survival * self.residual(maps)
        # Drawn on the CPU: nothing waits for the accelerator.
        if torch.rand(()) < self.survival:
            return self.residual(maps)
        # This zero gives the weights a gradient of zero, where training in several processes expects a gradient.
        return torch.stack([0 * weights.sum() for weights in self.residual.parameters()]).sum()

    def extra_repr(self) -> str:
        """What printing the network says beside the name."""
        return f"survival={self.survival:g}"


def survival_probabilities(blocks: int, drop_path: float = 0.5) -> list[float]:
    """The probability of each block to be kept: it falls linearly to `1 - drop_path` at the last one.

    Args:
        blocks: L, number of blocks.
        drop_path: probability that the last one is left out.

    Source: arXiv:1603.09382. Taught in chapter 11.

    >>> survival_probabilities(4)  # from 1 - 1 / (2 L) to 1/2
    [0.875, 0.75, 0.625, 0.5]
    """
    return [1 - number / blocks * drop_path for number in range(1, blocks + 1)]


def _stochastic_depth(block: type[BasicBlock] | type[Bottleneck], *depths: int) -> Callable[..., nn.Module]:
    def build(num_classes: int, *, in_channels: int = 3, width: int = PAPER_WIDTH, drop_path: float = 0.5) -> nn.Module:
        network = ResNet(block, depths, num_classes, in_channels=in_channels, width=width)
        blocks = [part for part in network.modules() if isinstance(part, block)]
        for part, survival in zip(blocks, survival_probabilities(len(blocks), drop_path), strict=True):
            part.register_module("residual", SometimesLeftOut(part.residual, survival))
        return network

    return build


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "stochastic_depth18": _stochastic_depth(BasicBlock, 2, 2, 2, 2),
    "stochastic_depth50": _stochastic_depth(Bottleneck, 3, 4, 6, 3),
}
