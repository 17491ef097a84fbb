"""An average of the weights over the steps of a training, which is often better than any single step's.

Taught in chapter 13.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage:
    """An exponential moving average of a model's weights (EMA), around torch's `AveragedModel`.

    Before each step the average keeps a share of itself, and takes the rest from the model. That share rises: after t
    steps it is (1 + t) / (10 + t), until it reaches `decay`. With the full decay from the start, the average of a short
    training would hold the random weights of its beginning: 0.999 forgets half of them in 693 steps.

    Buffers of floating point, which are batch norm's statistics, are averaged in the same way: the statistics of the
    last step alone belong to weights that the average is not. Other buffers (counters) are copied.

    Args:
        model: its present weights are the first average.
        decay: the share that is kept in the long run, in [0, 1).

    Attributes:
        module: a model of its own that holds the average; evaluate this one.

    Raises:
        ValueError: if `decay` is out of range.

    Source: Polyak and Juditsky (1992); the rising share is TensorFlow's `ExponentialMovingAverage`.
    Taught in chapter 13.

    >>> model = nn.Linear(1, 1)
    >>> average = WeightAverage(model, 0.9)
    >>> _ = nn.init.zeros_(model.weight)
    >>> average.update(model)  # the first time the weights are taken over
    >>> _ = nn.init.ones_(model.weight)
    >>> average.update(model)  # of ten parts, (1 + 1) / (10 + 1) are kept
    >>> round(average.module.weight.item(), 4)
    0.8182
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay = {decay}: it has to be at least 0 and below 1, for example 0.999")
        self.decay = decay
        self._averaged = AveragedModel(model, multi_avg_fn=self._mix, use_buffers=True)
        self._averaged.requires_grad_(False)

    @property
    def module(self) -> nn.Module:
        """The model that holds the average."""
        return self._averaged.module

    @property
    def steps(self) -> int:
        """How many steps are in the average."""
        return int(self._averaged.n_averaged)  # on the CPU, wherever the model is: nothing is waited for

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the weights after one more step into the average."""
        self._averaged.update_parameters(model)

    def share_kept(self) -> float:
        """The share of itself that the average keeps in the next update."""
        return min(self.decay, (1 + self.steps) / (10 + self.steps))

    def state_dict(self) -> dict[str, Any]:
        """The average and the number of its steps."""
        return self._averaged.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self._averaged.load_state_dict(dict(state))

    def _mix(self, averaged: Sequence[Tensor], current: Sequence[Tensor], _: Tensor | int) -> None:
        """The average of tensors of one type on one device; called by `AveragedModel`."""
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(list(averaged), list(current), 1 - self.share_kept())
        else:
            torch._foreach_copy_(list(averaged), list(current))
