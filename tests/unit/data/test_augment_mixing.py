"""MixUp and CutMix against torchvision's, and what they make of targets."""

from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2

from clslab.data import augment

MANY = 4000


def batch(size: int = 12) -> tuple[Tensor, Tensor]:
    numbers = torch.Generator().manual_seed(2)
    inputs = torch.randint(256, (size, 3, 16, 20), generator=numbers, dtype=torch.uint8)
    return inputs, torch.randint(7, (size,), generator=numbers)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def test_mixup_equals_torchvision_for_the_same_share() -> None:
    inputs, targets = batch()
    for share in (0.0, 0.25, 0.7123, 1.0):
        ours = augment.MixUp(1.0, 7).apply(inputs, targets, torch.tensor(share).double().expand(12))
        theirs = v2.MixUp(num_classes=7)
        parameters = {"labels": targets, "batch_size": 12, "lam": float(torch.tensor(share).double())}
        assert torch.equal(ours[0], theirs.transform(inputs.float(), parameters))
        assert torch.equal(ours[1], theirs.transform(targets, parameters))


def test_cutmix_equals_torchvision_for_the_same_box() -> None:
    inputs, targets = batch()
    for top, left, bottom, right in ((0, 0, 0, 0), (0, 0, 16, 20), (3, 5, 9, 20)):
        ours = augment.CutMix(1.0, 7).apply(inputs, targets, torch.tensor([[top, left, bottom, right]] * 12))
        kept = 1 - (bottom - top) * (right - left) / (16 * 20)
        parameters = {
            "labels": targets,
            "batch_size": 12,
            "box": (left, top, right, bottom),
            "lam_adjusted": kept,
        }
        theirs = v2.CutMix(num_classes=7)
        assert torch.equal(ours[0], theirs.transform(inputs, parameters))
        assert torch.equal(ours[1], theirs.transform(targets, parameters))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_come_from_the_beta_distribution(alpha: float) -> None:
    shares = augment.MixUp(alpha, 7, per_sample=True).draw((MANY, 3, 16, 20), seeded())
    assert stats.kstest(shares.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.001


def test_boxes_are_distributed_as_torchvisions() -> None:
    torch.manual_seed(6)
    theirs = v2.CutMix(alpha=1.0, num_classes=7)
    image = torch.empty(1, 3, 16, 20)
    boxes = torch.tensor([theirs.make_params([image])["box"] for _ in range(MANY)])[:, [1, 0, 3, 2]]
    ours = augment.CutMix(1.0, 7, per_sample=True).draw((MANY, 3, 16, 20), seeded())
    for side in range(4):
        assert stats.ks_2samp(ours[:, side].numpy(), boxes[:, side].numpy()).pvalue > 0.001
    areas = [(one[:, 2] - one[:, 0]) * (one[:, 3] - one[:, 1]) for one in (ours, boxes)]
    assert stats.ks_2samp(areas[0].numpy(), areas[1].numpy()).pvalue > 0.001


@pytest.mark.parametrize("kind", [augment.MixUp, augment.CutMix])
def test_one_draw_for_the_batch_or_one_for_each_picture(kind: Any) -> None:
    together = kind(1.0, 7).draw((20, 3, 16, 20), seeded())
    each = kind(1.0, 7, per_sample=True).draw((20, 3, 16, 20), seeded())
    assert len(together) == len(each) == 20
    assert len(together.unique(dim=0)) == 1
    assert len(each.unique(dim=0)) > 15


def test_the_weight_of_a_target_is_the_part_of_the_picture_that_shows_it() -> None:
    inputs = torch.arange(8, dtype=torch.uint8).view(8, 1, 1, 1).expand(8, 1, 16, 20)
    mixed, targets = augment.CutMix(1.0, 8, per_sample=True)(inputs, torch.arange(8), generator=seeded())
    shown = torch.stack([(mixed == value).float().mean((1, 2, 3)) for value in range(8)], 1)
    assert torch.allclose(targets, shown)
    assert ((shown > 0).sum(1) > 1).any()


def test_levels_become_a_tuple_with_one_share() -> None:
    inputs, fine = batch()
    levels = torch.stack([fine % 3, fine], 1)
    shares = torch.linspace(0, 1, 12).double()
    _, (coarse_targets, fine_targets) = augment.MixUp(1.0, (3, 7)).apply(inputs, levels, shares)
    assert torch.equal(coarse_targets, augment.MixUp(1.0, 3).apply(inputs, fine % 3, shares)[1])
    assert torch.equal(fine_targets, augment.MixUp(1.0, 7).apply(inputs, fine, shares)[1])


def test_what_is_mixed_can_be_mixed_again() -> None:
    inputs, targets = batch()
    for given, classes in ((targets, 7), (torch.stack([targets % 3, targets], 1), (3, 7))):
        twice = augment.Compose([augment.CutMix(1.0, classes), augment.MixUp(1.0, classes)])
        _, mixed = twice(inputs, given, generator=seeded())
        for level in mixed if isinstance(mixed, tuple) else (mixed,):
            assert torch.allclose(level.sum(1), torch.ones(12))
            assert (level > 0).sum(1).max() > 2


def test_mixup_keeps_the_scale_and_the_type_of_float_inputs() -> None:
    inputs, targets = batch()
    assert augment.MixUp(1.0, 7)(inputs.double(), targets)[0].dtype == torch.float64
    mixed, _ = augment.MixUp(1.0, 7)(torch.full_like(inputs, 255), targets)
    assert mixed.dtype == torch.float32
    assert torch.allclose(mixed, torch.tensor(255.0))


def test_mixup_cutmix_takes_one_of_the_two_for_a_batch() -> None:
    either = augment.mixing("mixup-cutmix", num_classes=7)
    numbers = seeded()
    kinds = [either(*batch(), generator=numbers)[0].dtype for _ in range(400)]
    assert stats.binomtest(kinds.count(torch.float32), 400).pvalue > 0.001


def test_targets_that_do_not_fit_are_refused() -> None:
    inputs, targets = batch()
    with pytest.raises(ValueError, match=r"a target is 6 and num_classes is 6; give the number of classes of the set"):
        augment.MixUp(1.0, 6)(inputs, targets.clamp(min=6))
    with pytest.raises(ValueError, match=r"targets have 2 levels and num_classes is 7; give one number per level"):
        augment.CutMix(1.0, 7)(inputs, torch.stack([targets, targets], 1))
    with pytest.raises(ValueError, match=r"targets have 1 levels and num_classes is \(3, 7\)"):
        augment.CutMix(1.0, (3, 7))(inputs, targets)
