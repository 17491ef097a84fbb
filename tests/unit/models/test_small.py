import pytest
import torch

from clslab.models.small import SmallCNN


@pytest.mark.parametrize("side", [8, 32, 33])
def test_one_row_of_logits_per_picture(side):
    assert SmallCNN(5)(torch.zeros(2, 3, side, side)).shape == (2, 5)


def test_width_and_channels_set_the_size():
    model = SmallCNN(4, 8, in_channels=1)
    weights = 9 * (1 * 8 + 8 * 16 + 16 * 32) + 2 * (8 + 16 + 32) + 32 * 4 + 4
    assert sum(weight.numel() for weight in model.parameters()) == weights


@pytest.mark.parametrize(("classes", "width"), [(1, 16), (0, 16), (2, 0)])
def test_senseless_sizes_are_refused(classes, width):
    with pytest.raises(ValueError, match="at least 2 classes"):
        SmallCNN(classes, width)
