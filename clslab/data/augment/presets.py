"""The augmentations of the course by name."""

from __future__ import annotations

from collections.abc import Callable

from clslab.data.augment.base import BatchTransform, Compose, Fill
from clslab.data.augment.colours import ColorJitter
from clslab.data.augment.erasing import GridMask, RandomErasing
from clslab.data.augment.geometry import HorizontalFlip, RandomCrop, Rotation
from clslab.data.augment.policies import AugMix, AutoAugment, RandAugment, TrivialAugment

PRESETS: dict[str, Callable[[Fill], tuple[BatchTransform, ...]]] = {
    "plain": lambda _: (),
    "shift": lambda _: (RandomCrop(4),),
    "flip": lambda _: (HorizontalFlip(),),
    "shift-flip": lambda _: (),
    "shift-flip-erase": lambda fill: (RandomErasing(fill=fill),),
    "shift-flip-rotate": lambda _: (Rotation(15.0),),
    "shift-flip-rotate-erase": lambda fill: (Rotation(15.0), RandomErasing(fill=fill)),
    "shift-flip-jitter": lambda _: (ColorJitter(0.4, 0.4, 0.4),),
    "shift-flip-gridmask": lambda fill: (GridMask(fill=fill),),
    "autoaugment": lambda _: (AutoAugment(),),
    "autoaugment-erase": lambda fill: (AutoAugment(), RandomErasing(fill=fill)),
    "autoaugment-rotate-erase": lambda fill: (AutoAugment(), Rotation(15.0), RandomErasing(fill=fill)),
    "randaugment": lambda _: (RandAugment(),),
    "trivialaugment": lambda _: (TrivialAugment(),),
    "trivialaugment-erase": lambda fill: (TrivialAugment(), RandomErasing(fill=fill)),
    "augmix": lambda _: (AugMix(),),
}
"""Each preset's name, and what follows on shift and flip; those of `_ALONE` are all there is. See `preset`."""

_ALONE = ("plain", "shift", "flip")


def preset(name: str, *, fill: Fill = 0) -> BatchTransform:
    """An augmentation by its name.

    | preset | a picture is … |
    |---|---|
    | `plain` | left as it is |
    | `shift` | padded by 4 black pixels and cut to its size again anywhere |
    | `flip` | flipped half of the time |
    | `shift-flip` | both |
    | `shift-flip-erase` | … and half of the time loses a box |
    | `shift-flip-rotate` | … and turned by up to 15 degrees |
    | `shift-flip-rotate-erase` | … and turned by up to 15 degrees, and half of the time loses a box |
    | `shift-flip-jitter` | … and changed in brightness, contrast and saturation by up to 40 % |
    | `shift-flip-gridmask` | … and half of the time loses a grid of squares |
    | `autoaugment` | shifted and flipped, then changed by a policy that was found on CIFAR-10 |
    | `autoaugment-erase` | … and half of the time loses a box |
    | `autoaugment-rotate-erase` | … and turned by up to 15 degrees in between |
    | `randaugment` | shifted and flipped, then changed by two of 14 operations at one strength |
    | `trivialaugment` | shifted and flipped, then changed by one of 14 operations at any strength |
    | `trivialaugment-erase` | … and half of the time loses a box |
    | `augmix` | shifted and flipped, then mixed with three changed copies of itself |

    What comes in from the side is black, and boxes and squares have the colour `fill`. So it is where
    pictures are moved as pictures and erased after normalisation, which is the usual order.

    Args:
        name: one of `PRESETS`.
        fill: the mean of the data for all channels, or for each, on the scale 0 to 255.

    Returns:
        A transform of uint8 batches.

    Raises:
        ValueError: if there is no such preset.

    Taught in chapters 8 and 9.

    >>> preset("shift-flip-rotate")
    Compose(transforms=(RandomCrop(padding=4, fill=0), HorizontalFlip(p=0.5), Rotation(degrees=15.0, fill=0)))
    """
    if name not in PRESETS:
        raise ValueError(f"there is no augmentation {name!r}; use one of {', '.join(PRESETS)}")
    first: tuple[BatchTransform, ...] = () if name in _ALONE else (RandomCrop(4), HorizontalFlip())
    return Compose(first + PRESETS[name](fill))
