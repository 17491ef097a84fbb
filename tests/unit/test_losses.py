import pytest
import torch
from torch import nn

from clslab import losses
from clslab.recipe import Recipe

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]])
TARGETS = torch.tensor([0, 2])


def test_nll_of_log_softmax_is_cross_entropy():
    nll = losses.create(Recipe(loss="nll"))(LOGITS.log_softmax(dim=1), TARGETS)
    assert torch.allclose(nll, losses.create(Recipe())(LOGITS, TARGETS))


def test_smoothing_and_weights_reach_the_loss():
    smoothed = losses.create(Recipe(label_smoothing=0.3))(LOGITS, TARGETS)
    assert torch.equal(smoothed, nn.functional.cross_entropy(LOGITS, TARGETS, label_smoothing=0.3))
    weighted = losses.create(Recipe(loss_options={"weight": [1, 2, 3]}))(LOGITS, TARGETS)
    weight = torch.tensor([1.0, 2.0, 3.0])
    assert torch.equal(weighted, nn.functional.cross_entropy(LOGITS, TARGETS, weight=weight))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss": "hinge"}, "unknown loss 'hinge'; known are cross-entropy, nll"),
        ({"loss_options": {"gamma": 2}}, "loss_options has gamma"),
        ({"loss": "nll", "label_smoothing": 0.1}, "needs loss 'cross-entropy'"),
    ],
)
def test_wrong_settings_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        losses.create(Recipe(**fields))
