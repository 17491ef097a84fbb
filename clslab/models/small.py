"""A small convolutional network for small pictures, to be trained from scratch.

Taught in chapter 0.
"""

from __future__ import annotations

from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Three blocks of convolution, batch norm, ReLU and pooling, then one linear layer.

    Each block halves the side of its map and doubles its channels; the last map is averaged, so
    that any picture of at least 8 by 8 pixels fits.

    Args:
        num_classes: C, at least 2.
        width: channels after the first block.
        in_channels: channels of the pictures.

    Shapes: pictures `[B, in_channels, H, W]` to logits `[B, C]`.

    Raises:
        ValueError: if `num_classes` is below 2 or `width` below 1.

    Taught in chapter 0.

    >>> import torch
    >>> SmallCNN(5)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 5])
    """

    def __init__(self, num_classes: int, width: int = 16, *, in_channels: int = 3) -> None:
        super().__init__()
        if num_classes < 2 or width < 1:
            raise ValueError(f"num_classes = {num_classes} and width = {width}: at least 2 classes and 1 channel")
        self.blocks = nn.Sequential(_block(in_channels, width), _block(width, 2 * width), _block(2 * width, 4 * width))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.head(self.pool(self.blocks(pictures)).flatten(1))


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    # No bias: the batch norm that follows has its own shift.
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    )
