"""Transformers: a picture is cut into patches, and each patch asks the others what it needs to know.

==========  ================  ===================================  ==========  ====
name        paper             patches of 32 by 32 pixels           parameters  MMAC
==========  ================  ===================================  ==========  ====
vit_tiny    arXiv:2010.11929  8 by 8, every one sees every other    5,380,132   365
swin_tiny   arXiv:2103.14030  16 by 16, seen in windows of 4 by 4  27,574,318   358
cait_xxs24  arXiv:2103.17239  8 by 8, every one sees every other   11,618,980   731
==========  ================  ===================================  ==========  ====

Parameters at 100 classes; MMAC are millions of multiply-adds for one picture of 32 by 32 pixels, the products of
attention included.

The networks are those of the library timm, without trained weights. What was adapted for small pictures: patches of 4
by 4 pixels for vit_tiny and cait_xxs24 (16 by 16 in the papers), and of 2 by 2 with windows of 4 by 4 patches for
swin_tiny (4 by 4 with 7 by 7).

Each is built for pictures of one size, because it has numbers of its own for every place; another size is an error.
Its `width` is the length of the vector that stands for a patch. A number is dropped before the last linear layer with
probability `dropout`; each residual is left out, for single pictures of a batch, with a probability that rises linearly
to `drop_path` in the last block (`clslab.models.zoo.stochastic_depth` shows the idea). The default of `drop_path` is
what the papers trained their networks of this size with; for vit_tiny, whose size is not in its paper, it is that of
arXiv:2012.12877.

Taught in chapter 11.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
from torch import Tensor, nn

SMALLEST_SIDE = 16


class OneSize(nn.Module):
    """A network that takes pictures of one size, and says so.

    Args:
        network: from pictures `[B, in_channels, image_size, image_size]` to logits `[B, C]`.
        image_size: side in pixels.

    Raises:
        ValueError: in `forward`, for pictures of another size.

    Taught in chapter 11.
    """

    def __init__(self, network: nn.Module, image_size: int) -> None:
        super().__init__()
        self.network = network
        self.image_size = image_size

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, image_size, image_size]`."""
        height, width = pictures.shape[-2:]
        if (height, width) != (self.image_size, self.image_size):
            raise ValueError(
                f"pictures of {height} by {width} pixels for a network that was built for {self.image_size} by "
                f"{self.image_size}; resize them, or create the network with their image_size"
            )
        return self.network(pictures)


def _transformer(
    name: str, *, embedding: int, heads: int, step: int, leave_out: float, **settings: Any
) -> Callable[..., nn.Module]:
    """A builder of one of timm's networks.

    Args:
        name: timm's.
        embedding: its width in the paper.
        heads: number that the width is a multiple of: each head gets an equal part.
        step: pixels that the side is a multiple of.
        leave_out: the paper's `drop_path`.
        settings: further arguments of timm's network.
    """

    def build(
        num_classes: int,
        *,
        in_channels: int = 3,
        image_size: int = 32,
        width: int = embedding,
        dropout: float = 0.0,
        drop_path: float = leave_out,
    ) -> nn.Module:
        if image_size % step:
            raise ValueError(f"image_size = {image_size} is not cut into patches evenly; give a multiple of {step}")
        if width % heads:
            raise ValueError(f"width is {width}; give a multiple of {heads}, the number of heads")
        network = timm.create_model(
            name,
            pretrained=False,
            num_classes=num_classes,
            in_chans=in_channels,
            img_size=image_size,
            embed_dim=width,
            drop_rate=dropout,
            drop_path_rate=drop_path,
            **settings,
        )
        return OneSize(network, image_size)

    return build


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "vit_tiny": _transformer("vit_tiny_patch16_224", embedding=192, heads=3, step=4, leave_out=0.1, patch_size=4),
    # Three times the maps are halved, from patches of 2 by 2 pixels on.
    "swin_tiny": _transformer(
        "swin_tiny_patch4_window7_224", embedding=96, heads=3, step=16, leave_out=0.2, patch_size=2, window_size=4
    ),
    "cait_xxs24": _transformer("cait_xxs24_224", embedding=192, heads=4, step=4, leave_out=0.05, patch_size=4),
}
