"""What is known of the transformers."""

import pytest
import timm
import torch
from torch import nn

from clslab import models
from clslab.models import cost

TIMMS = {
    "vit_tiny": "vit_tiny_patch16_224",
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "cait_xxs24": "cait_xxs24_224",
}
NARROW = {"vit_tiny": 24, "swin_tiny": 12, "cait_xxs24": 16}


@pytest.mark.parametrize("name", TIMMS)
def test_only_what_depends_on_the_pictures_size_differs_from_the_papers_network(name):
    with torch.device("meta"):
        ours = models.create(name, num_classes=1000).network
        theirs = timm.create_model(TIMMS[name], num_classes=1000)
    shapes = [{key: tuple(value.shape) for key, value in model.named_parameters()} for model in (ours, theirs)]
    assert set(shapes[0]) == set(shapes[1])
    differing = {key for key in shapes[0] if shapes[0][key] != shapes[1][key]}
    size_bound = ("patch_embed.proj.weight", "pos_embed", "relative_position_bias_table")
    assert [key for key in differing if not key.endswith(size_bound)] == []
    assert "patch_embed.proj.weight" in differing


@pytest.mark.parametrize(("name", "millions"), [("vit_tiny", 5.7), ("swin_tiny", 28.3), ("cait_xxs24", 12.0)])
def test_about_as_large_as_in_the_papers(name, millions):
    assert cost.measure(name, num_classes=1000).parameters / 1e6 == pytest.approx(millions, rel=0.03)


@pytest.mark.parametrize("name", TIMMS)
@pytest.mark.parametrize("size", [(16, 16), (32, 16), (64, 64)])
def test_pictures_of_another_size_are_refused(name, size):
    model = models.create(name, num_classes=10, width=NARROW[name], image_size=32)
    with pytest.raises(ValueError, match=f"{size[0]} by {size[1]} pixels for a network that was built for 32 by 32"):
        model(torch.zeros(2, 3, *size))


@pytest.mark.parametrize(
    ("name", "image_size", "multiple"), [("vit_tiny", 34, 4), ("swin_tiny", 40, 16), ("cait_xxs24", 33, 4)]
)
def test_a_size_that_is_not_cut_evenly_is_refused(name, image_size, multiple):
    with pytest.raises(ValueError, match=f"image_size = {image_size} is not cut .* multiple of {multiple}"):
        models.create(name, num_classes=10, image_size=image_size)


@pytest.mark.parametrize(("name", "heads"), [("vit_tiny", 3), ("swin_tiny", 3), ("cait_xxs24", 4)])
def test_a_width_that_the_heads_cannot_share_is_refused(name, heads):
    with pytest.raises(ValueError, match=f"width is 10; give a multiple of {heads}"):
        models.create(name, num_classes=10, width=10)


@pytest.mark.parametrize(("name", "last"), [("vit_tiny", 0.1), ("swin_tiny", 0.2), ("cait_xxs24", 0.05)])
def test_residuals_are_left_out_as_in_the_papers(name, last):
    def probabilities(**options):
        model = models.create(name, num_classes=10, width=NARROW[name], **options)
        return [part.drop_prob for part in model.modules() if type(part).__name__ == "DropPath"]

    assert max(probabilities()) == pytest.approx(last)
    assert probabilities(drop_path=0.0) == []


@pytest.mark.parametrize("name", TIMMS)
def test_dropout_before_the_last_layer(name):
    model = models.create(name, num_classes=10, width=NARROW[name], dropout=0.3)
    assert 0.3 in {part.p for part in model.modules() if isinstance(part, nn.Dropout)}


def test_patches():
    with torch.device("meta"):
        vit, swin = (models.create(name, num_classes=10, image_size=64).network for name in ("vit_tiny", "swin_tiny"))
    assert vit.patch_embed.num_patches == 16 * 16
    assert swin.patch_embed.num_patches == 32 * 32
