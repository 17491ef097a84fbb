"""Augmentation of whole batches, with everything random drawn for each picture of its own.

A transform that sees one picture at a time costs a Python call for each; a network on 32 × 32 pictures
then waits for its pictures. Here a transform takes a batch of tensors. What moves pixels is one gather
for all pictures, and what a policy decides is done group by group, by torchvision's kernels.

Taught in chapters 8 and 9.

>>> import torch
>>> inputs, targets = torch.zeros(4, 3, 32, 32, dtype=torch.uint8), torch.arange(4)
>>> inputs, targets = preset("autoaugment-erase", fill=120)(inputs, targets)
>>> inputs, targets = mixing("cutmix", num_classes=10)(inputs, targets)
>>> inputs.shape, targets.shape
(torch.Size([4, 3, 32, 32]), torch.Size([4, 10]))
"""

from clslab.data.augment.base import BatchTransform, Compose, Fill, OneOf, PictureTransform
from clslab.data.augment.colours import ColorJitter
from clslab.data.augment.erasing import GridMask, RandomErasing
from clslab.data.augment.geometry import HorizontalFlip, RandomCrop, Rotation
from clslab.data.augment.mixing import MIXINGS, CutMix, MixUp, mixing
from clslab.data.augment.policies import AugMix, AutoAugment, RandAugment, TrivialAugment
from clslab.data.augment.presets import PRESETS, preset

__all__ = [
    "MIXINGS",
    "PRESETS",
    "AugMix",
    "AutoAugment",
    "BatchTransform",
    "ColorJitter",
    "Compose",
    "CutMix",
    "Fill",
    "GridMask",
    "HorizontalFlip",
    "MixUp",
    "OneOf",
    "PictureTransform",
    "RandAugment",
    "RandomCrop",
    "RandomErasing",
    "Rotation",
    "TrivialAugment",
    "mixing",
    "preset",
]
