"""From a photograph to the tensor a network takes: the presets of the course, by name.

| preset | geometry | random | where it comes from |
|---|---|---|---|
| `resize` | both sides to `size`: all of the picture, squeezed | no | the homework's remedy |
| `center-crop` | the middle `size` × `size` of the picture as it is | no | the homework's mistake |
| `homework-crop` | the middle 134 × 134, enlarged to `size` | no | that mistake, on pictures shrunk to 224 |
| `resize-crop` | short side to `size` · 256/224, then the middle | no | the usual ImageNet evaluation |
| `border` | as `resize`, under a grey sheet that leaves an eighth on each side | no | a test for shortcuts |
| `short-side` | short side to `size`, nothing cut off | no | a cache for random crops |
| `crop-flip` | 50 to 100 % of the area, any place, to `size`; flipped at random | yes | the usual training |
| `source-train` | 50 to 100 % to `size` · 256/224, then the middle; flipped at random | yes | the beach plastic's |
| `source-val` | same as `resize-crop` | no | the beach plastic's |

`source-train` shows objects larger than `source-val` does: its second crop enlarges what the first
one has already enlarged (chapter 2).

Taught in chapters 1, 5, 6 and 16.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

HOMEWORK_CROP = 134  # pixels, of a picture whose short side is 224
BORDER = 8  # of a side, an eighth is left at either end
GREY = 127

PRESETS: dict[str, bool] = {
    "resize": False,
    "center-crop": False,
    "homework-crop": False,
    "resize-crop": False,
    "border": False,
    "short-side": False,
    "crop-flip": True,
    "source-train": True,
    "source-val": False,
}
"""Name of each preset, and whether it is random."""


def photo(
    name: str,
    *,
    size: int,
    crop: int | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> v2.Compose:
    """The transform of a preset: picture in, normalised float tensor out.

    Args:
        name: one of `PRESETS`.
        size: side of the result in pixels.
        crop: for `center-crop` only: cut out this many pixels and enlarge them to `size`. 134 of a
            picture whose short side is 224 shows what 224 of a 500 × 375 photograph show.
        mean: per channel, of pictures scaled to [0, 1]; ImageNet's, as the backbones expect.
        std: likewise.

    Returns:
        A transform of a `PIL.Image`, a uint8 array `[H, W, 3]` or a uint8 tensor `[3, H, W]` into
        a float tensor `[3, size, size]`. The three give the same result.

    Raises:
        ValueError: if there is no such preset, or a size is not positive.

    Taught in chapters 1 and 6.

    >>> photo("resize", size=64)(np.zeros((30, 40, 3), dtype=np.uint8)).shape
    torch.Size([3, 64, 64])
    """
    # The tensor comes first: PIL and torch shrink pictures with slightly different rounding.
    return v2.Compose(
        [
            v2.ToImage(),
            *_steps(name, size, crop),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(mean), list(std)),
            v2.ToPureTensor(),
        ]
    )


class _Geometry:
    """A picture in, a uint8 array `[H, W, 3]` out. A class, because a closure cannot be pickled."""

    def __init__(self, steps: list[v2.Transform]) -> None:
        self.steps = v2.Compose([v2.ToImage(), *steps, v2.ToPureTensor()])

    def __call__(self, picture: Image.Image | np.ndarray | torch.Tensor) -> np.ndarray:
        shaped: torch.Tensor = self.steps(picture)
        return np.ascontiguousarray(shaped.permute(1, 2, 0).numpy())


def geometry(name: str, *, size: int, crop: int | None = None) -> _Geometry:
    """The geometric part of a preset alone, which is what a cache of pixels holds.

    Args:
        name: one of `PRESETS` that is not random.
        size: see `photo`.
        crop: see `photo`.

    Returns:
        A function of a picture (as in `photo`) that returns a uint8 array `[H, W, 3]`.

    Raises:
        ValueError: if the preset is unknown or random.

    Taught in chapters 5 and 6.

    >>> geometry("short-side", size=32)(np.zeros((64, 96, 3), dtype=np.uint8)).shape
    (32, 48, 3)
    """
    steps = _steps(name, size, crop)
    if PRESETS[name]:
        fixed = ", ".join(preset for preset, random in PRESETS.items() if not random)
        raise ValueError(f"{name!r} is random: a cache would freeze one draw for ever; use one of {fixed}")
    return _Geometry(steps)


class _CoverMiddle:
    """A grey sheet over the middle of a picture `[..., H, W]`. A class, because a closure cannot be pickled."""

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        height, width = picture.shape[-2:]
        top, left = height // BORDER, width // BORDER
        covered = picture.clone()
        covered[..., top : height - top, left : width - left] = GREY
        return covered


def _steps(name: str, size: int, crop: int | None) -> list[Any]:
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; use one of {', '.join(PRESETS)}")
    if size < 1 or (crop is not None and crop < 1):
        raise ValueError(f"size {size} and crop {crop} must be at least 1 pixel")
    if crop is not None and name != "center-crop":
        raise ValueError(f"crop={crop} has a meaning for 'center-crop' only, not for {name!r}")
    # 256/224: the margin that ImageNet evaluation cuts away, kept at other sizes.
    margin = round(size * 256 / 224)
    if name == "homework-crop":
        # A centre crop of 224 keeps 27 % of a 500 × 375 photograph. Of the same one shrunk to a
        # short side of 224, as the course's copy is, a crop of 134 keeps the same part.
        return [v2.CenterCrop(HOMEWORK_CROP), v2.Resize((size, size), antialias=True)]
    if name == "border":
        return [v2.Resize((size, size), antialias=True), _CoverMiddle()]
    if name == "resize":
        return [v2.Resize((size, size), antialias=True)]
    if name == "short-side":
        return [v2.Resize(size, antialias=True)]
    if name == "center-crop":
        if crop is None:
            return [v2.CenterCrop(size)]
        return [v2.CenterCrop(crop), v2.Resize((size, size), antialias=True)]
    if name in ("resize-crop", "source-val"):
        return [v2.Resize(margin, antialias=True), v2.CenterCrop(size)]
    if name == "crop-flip":
        return [
            v2.RandomResizedCrop(size, scale=(0.5, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
        ]
    return [
        v2.RandomResizedCrop(margin, scale=(0.5, 1.0), ratio=(1.0, 1.0), antialias=True),
        v2.CenterCrop(size),
        v2.RandomHorizontalFlip(),
    ]
