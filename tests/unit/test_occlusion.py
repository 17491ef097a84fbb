import numpy as np
import pytest
import torch
from torch import nn

from clslab.occlusion import drop_map


class OneCorner(nn.Module):
    """Class 1 is exactly as likely as the pixels of the top left 8 × 8 are bright."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        score = pictures[:, :, :8, :8].mean(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(score), 4 * score], dim=1)


def test_only_the_place_that_matters_loses_probability():
    picture = torch.ones(3, 32, 32)

    heat = drop_map(OneCorner(), picture, 1, patch=8, stride=8)

    whole, covered = torch.sigmoid(torch.tensor(4.0)).item(), 0.5
    assert heat.shape == (32, 32)
    np.testing.assert_allclose(heat[:8, :8], whole - covered, atol=1e-6)
    np.testing.assert_allclose(heat[8:], 0, atol=1e-6)
    np.testing.assert_allclose(heat[:, 8:], 0, atol=1e-6)


def test_overlapping_squares_are_averaged_by_hand():
    picture = torch.ones(3, 8, 12)

    heat = drop_map(OneCorner(), picture, 1, patch=8, stride=4)

    # Two squares: columns 0-7 cover everything that counts, columns 4-11 cover half of it.
    p = [torch.sigmoid(torch.tensor(4.0 * share)).item() for share in (1.0, 0.0, 0.5)]
    first, second = p[0] - p[1], p[0] - p[2]
    np.testing.assert_allclose(heat[0, :4], first, atol=1e-6)
    np.testing.assert_allclose(heat[0, 4:8], (first + second) / 2, atol=1e-6)
    np.testing.assert_allclose(heat[0, 8:], second, atol=1e-6)


def test_every_pixel_is_covered_whatever_the_sizes():
    heat = drop_map(OneCorner(), torch.rand(3, 21, 17), 0, patch=8, stride=5)

    assert np.isfinite(heat).all()
    assert np.abs(heat).max() <= 1


def test_picture_and_model_are_left_as_they_were():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * 8 * 8, 2)).train()
    picture = torch.rand(3, 8, 8)
    before = picture.clone()

    drop_map(model, picture, 0, patch=4, stride=4)

    assert torch.equal(picture, before)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("shape", "target", "options", "word"),
    [
        ((1, 3, 8, 8), 0, {"patch": 4, "stride": 4}, "one picture"),
        ((3, 8, 8), 0, {"patch": 9, "stride": 4}, "patch = 9"),
        ((3, 8, 8), 0, {"patch": 4, "stride": 5}, "stride = 5"),
        ((3, 8, 8), 2, {"patch": 4, "stride": 4}, "target 2"),
    ],
)
def test_errors_name_the_value(shape, target, options, word):
    with pytest.raises(ValueError, match=word):
        drop_map(OneCorner(), torch.zeros(shape), target, **options)
