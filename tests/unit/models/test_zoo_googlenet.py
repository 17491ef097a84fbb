"""What is known of GoogLeNet."""

import torch
import torchvision
from references import assert_same_logits, padded
from torch import nn
from torchvision.models.googlenet import Inception

from clslab import models


def test_with_torchvisions_weights_it_says_the_same():
    theirs = torchvision.models.googlenet(num_classes=10, aux_logits=False, init_weights=False)
    theirs.conv1.conv = nn.Conv2d(3, 64, 3, bias=False)
    theirs.maxpool1 = nn.Identity()
    theirs.maxpool4 = nn.MaxPool2d(3, stride=2)
    for part in theirs.modules():
        if isinstance(part, Inception):
            # theirs has 3 by 3 where the paper has 5 by 5
            reduced = part.branch3[1].conv
            part.branch3[1].conv = nn.Conv2d(reduced.in_channels, reduced.out_channels, 5, bias=False)
    with torch.device("meta"):
        ours = models.create("googlenet", num_classes=10)
    assert_same_logits(ours, padded(theirs))


def test_the_channels_of_the_papers_table():
    with torch.device("meta"):
        model = models.create("googlenet", num_classes=10)
    found = [block.out_channels for stage in model.stages for block in stage[1:]]
    assert found == [256, 480, 512, 512, 512, 528, 832, 832, 1024]


def test_maps_become_smaller_as_it_says():
    with torch.device("meta"):
        model = models.create("googlenet", num_classes=10)
        maps, sides = model.stem(torch.zeros(1, 3, 32, 32)), []
    for stage in model.stages:
        maps = stage(maps)
        sides.append(maps.shape[-1])
    assert sides == [16, 8, 4]


def test_the_reductions_make_the_large_kernels_affordable():
    # The first block with its convolutions of 3 by 3 and 5 by 5 on all 192 channels would cost more than twice as much.
    with torch.device("meta"):
        block = models.create("googlenet", num_classes=10).stages[0][1]
    weights = sum(part.weight.numel() for part in block.modules() if isinstance(part, nn.Conv2d))
    assert 2 * weights < 192 * (64 + 9 * 128 + 25 * 32 + 32)


def test_dropout_is_before_the_linear_layer_only():
    model = models.create("googlenet", num_classes=10, width=8, dropout=0.25)
    dropped = [key for key, part in model.named_modules() if isinstance(part, nn.Dropout) and part.p == 0.25]
    assert dropped == ["dropout"]
