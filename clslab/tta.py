"""Test-time augmentation: the same picture seen several times, and one answer from all of them.

A set of views is fixed, not drawn: every view differs from the others, so that no forward pass is spent twice on one
view. It is applied to normalised batches, after everything else.

====================  ==============================================================================================
set                   views
====================  ==============================================================================================
"flip"                2: the picture, and its mirror image
"flip-shift"          10: the picture and its mirror image, each in place and moved by two pixels towards each corner
====================  ==============================================================================================

What comes in from the side when a picture is moved is its own border, mirrored: a black edge would be one more thing to
see, and the mean colour another.

Taught in chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clslab import train
from clslab.device import Machine, Targets

ViewOf = Callable[[Tensor], Tensor]
Average = Literal["probabilities", "logits"]

SHIFT = 2
"""Pixels by which "flip-shift" moves a picture, along both axes."""


# [view]
@dataclass(frozen=True)
class View:
    """One way of looking at a batch of pictures `[B, C, H, W]`; the result has the same shape.

    Attributes:
        flip: mirror left and right, before the shift.
        right: pixels by which the picture moves to the right, negative for the left.
        down: pixels by which it moves down, negative for up.

    Raises:
        ValueError: when it is applied to pictures that are not larger than the shift.

    Taught in chapter 13.

    >>> View(right=1)(torch.tensor([[[[1, 2, 3]]]])).flatten().tolist()
    [2, 1, 2]
    """

    flip: bool = False
    right: int = 0
    down: int = 0

    def __call__(self, inputs: Tensor) -> Tensor:
        """The view of a batch."""
        if self.flip:
            inputs = inputs.flip(-1)
        if not (self.right or self.down):
            return inputs
        height, width = inputs.shape[-2:]
        if width <= abs(self.right) or height <= abs(self.down):
            raise ValueError(
                f"pictures of {height} × {width} pixels cannot be moved by {self.down} and {self.right}: their border "
                "is too short to be mirrored; take larger pictures or other views"
            )
        border = (max(self.right, 0), max(-self.right, 0), max(self.down, 0), max(-self.down, 0))
        moved = F.pad(inputs, border, mode="reflect")
        top, left = max(-self.down, 0), max(-self.right, 0)
        seen = moved[..., top : top + height, left : left + width]
        # As dense as it came, in the same order of channels: the network runs a few per cent slower on a cut.
        dense = inputs.is_contiguous(memory_format=torch.channels_last)
        return seen.contiguous(memory_format=torch.channels_last if dense else torch.contiguous_format)


# [/view]

_POSITIONS = ((0, 0), *((right, down) for down in (-SHIFT, SHIFT) for right in (-SHIFT, SHIFT)))

VIEWS: Mapping[str, tuple[View, ...]] = {
    "flip": (View(), View(flip=True)),
    "flip-shift": tuple(View(flip, right, down) for right, down in _POSITIONS for flip in (False, True)),
}
"""The sets of views by name, as a recipe's `tta` names them; the first view is the plain picture."""


def views_of(name: str) -> tuple[View, ...]:
    """The views of a set.

    Raises:
        ValueError: if there is no such set.

    >>> len(views_of("flip-shift"))
    10
    """
    if name not in VIEWS:
        raise ValueError(f"tta = {name!r} is unknown; choose one of {', '.join(VIEWS)}, or leave it out for one view")
    return VIEWS[name]


# [predict]
def predict(
    model: nn.Module,
    loader: Iterable[Any],
    views: Sequence[ViewOf],
    *,
    average: Average = "probabilities",
    machine: Machine | None = None,
) -> tuple[Targets, Targets]:
    """Class probabilities of every item, averaged over several views of it, and the targets.

    The loader is read once; each batch takes one forward pass per view.

    Args:
        model: gives logits `[B, C]`, or a tuple of them, one per level of labels.
        loader: gives batches `(inputs, targets)`, as for `clslab.train.predict`.
        views: each takes normalised inputs `[B, C, H, W]` and returns as many; `VIEWS` has sets of them.
        average: what the mean is taken of. Probabilities let each view vote with its own certainty; logits give the
            geometric mean of the probabilities, which is surer where the views agree.
        machine: where to compute; `None` as `clslab.device.borrowed` chooses.

    Returns:
        Probabilities `[N, C]` (float32) and targets `[N]`, on the CPU; for several outputs a tuple of each.

    Raises:
        ValueError: if there is no view, `average` is unknown, or for the reasons of `clslab.train.predict`.

    Source: arXiv:2011.11156 on when averaging helps. Taught in chapter 13.
    """
    if not views:
        raise ValueError("there is no view; give at least one, such as View() for the picture as it is")
    if average not in ("probabilities", "logits"):
        raise ValueError(f'average = {average!r} is unknown; choose "probabilities" or "logits"')
    return train.predict(_Averaged(model, views, average), loader, machine=machine)


class _Averaged(nn.Module):
    """A model that looks at each batch in several views, and gives the logits of the averaged answer."""

    def __init__(self, model: nn.Module, views: Sequence[ViewOf], average: Average) -> None:
        super().__init__()
        self.model, self.views, self.average = model, tuple(views), average

    def forward(self, inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        seen = [self.model(view(inputs)) for view in self.views]
        if isinstance(seen[0], Tensor):
            return self._mean(seen)
        return tuple(self._mean(level) for level in zip(*seen, strict=True))

    def _mean(self, outputs: Sequence[Tensor]) -> Tensor:
        logits = torch.stack([each.float() for each in outputs])  # [V, B, C]
        if self.average == "logits":
            return logits.mean(dim=0)
        # The logarithm of the mean probability up to a constant, which the softmax to come takes off again.
        return logits.log_softmax(dim=2).logsumexp(dim=0)


# [/predict]
