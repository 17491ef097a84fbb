"""What is known of NASNet."""

import pytest
import torch
from references import assert_same_logits, parameters
from timm.models import nasnet as theirs
from torch import nn

from clslab import models
from clslab.models.zoo import nasnet


class TheirCells(nn.Module):
    """timm's cells for ImageNet, put together as the paper does for CIFAR: two normal ones in each stage."""

    def __init__(self, width):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 3 * width, 3, padding=1, bias=False), nn.BatchNorm2d(3 * width))
        f, two, four = width, 2 * width, 4 * width
        normal, first = theirs.NormalCell, theirs.FirstCell
        self.cells = nn.ModuleList(
            [
                normal(3 * f, f, 3 * f, f),
                normal(3 * f, f, 6 * f, f),
                theirs.ReductionCell0(6 * f, two, 6 * f, two),
                first(6 * f, two // 2, 4 * two, two),
                normal(4 * two, two, 6 * two, two),
                theirs.ReductionCell1(6 * two, four, 6 * two, four),
                first(6 * two, four // 2, 4 * four, four),
                normal(4 * four, four, 6 * four, four),
            ]
        )
        self.head = nn.Linear(6 * four, 10)

    def forward(self, pictures):
        before = now = self.stem(pictures)
        for cell in self.cells:
            before, now = now, cell(now, before)
        return self.head(now.relu().mean(dim=(2, 3)))

    def order(self):
        """Their keys, cell by cell, with what is done to the maps before first."""
        firsts = [number for number, cell in enumerate(self.cells) if isinstance(cell, theirs.FirstCell)]
        late = [f"cells.{number}.conv_1x1." for number in firsts]
        keys, waiting = [], []
        for key in self.state_dict():
            if key.startswith(tuple(late)):
                waiting.append(key)
            else:
                if "comb_iter" in key:
                    keys += waiting
                    waiting = []
                keys.append(key)
        return keys


def test_with_timms_weights_the_cells_say_the_same():
    reference = TheirCells(4)
    ours = models.create("nasnet", num_classes=10, width=4, repeats=2)
    assert_same_logits(ours, reference, side=32, order=reference.order())


def test_parameters_as_published():
    """3.3 million at 10 classes (table 1)."""
    assert parameters("nasnet", 10) == pytest.approx(3.3e6, abs=0.05e6)


def test_the_last_maps_have_768_channels():
    """The number that the paper names this network by."""
    with torch.device("meta"):
        model = models.create("nasnet", num_classes=10)
    assert model.head.in_features == 768
    kinds = [type(cell) for cell in model.cells]
    assert kinds.count(nasnet.NormalCell) == 18
    assert [number for number, kind in enumerate(kinds) if kind is nasnet.ReductionCell] == [6, 13]


def test_odd_sides_are_taken():
    model = models.create("nasnet", num_classes=10, width=2, repeats=1, image_size=27).eval()
    assert model(torch.zeros(1, 3, 27, 27)).shape == (1, 10)


def test_the_share_of_dropped_operations_grows_from_cell_to_cell():
    model = models.create("nasnet", num_classes=10, width=2, repeats=1, drop_path=0.5)
    assert [cell.drop.p for cell in model.cells] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_dropped_operations_are_made_up_for_on_average():
    torch.manual_seed(0)
    cell = nasnet.NormalCell(4, 4, 2, halve_before=False, drop_path=0.4)
    for part in cell.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()  # so that training differs by the drops alone
    before, now = torch.randn(1, 4, 5, 5), torch.randn(1, 4, 5, 5)
    with torch.no_grad():
        drawn = cell(before.expand(4000, -1, -1, -1), now.expand(4000, -1, -1, -1))
        expected = cell.eval()(before, now)[0]
    assert (drawn[0] != drawn[1]).any()
    deviation = drawn.std(dim=0) / 4000**0.5
    assert ((drawn.mean(dim=0) - expected).abs() <= 5 * deviation + 1e-5).all()


def test_a_network_without_normal_cells_is_refused():
    with pytest.raises(ValueError, match="repeats is 0"):
        models.create("nasnet", num_classes=10, repeats=0)
