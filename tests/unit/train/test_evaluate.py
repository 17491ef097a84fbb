import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clslab.device import Machine
from clslab.models.small import SmallCNN
from clslab.train import Evaluation, evaluate, predict


class Levels(nn.Module):
    """Two outputs, coarse and fine, from one input."""

    def __init__(self):
        super().__init__()
        self.coarse, self.fine = nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, inputs):
        return self.coarse(inputs), self.fine(inputs)


@pytest.fixture
def items():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(10, 4, generator=generator), torch.arange(10) % 3


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3))


def ragged(inputs, targets):
    """Batches of 4, 4, 1 and 1: an average of batch averages would count the last items fourfold."""
    return list(zip(inputs.split([4, 4, 1, 1]), targets.split([4, 4, 1, 1]), strict=True))


def test_counts_do_not_depend_on_the_batches(model, items):
    inputs, targets = items
    whole = evaluate(model, [items])
    split = evaluate(model, ragged(inputs, targets))
    logits = model.eval()(inputs)
    assert (split.correct, split.count) == (int((logits.argmax(1) == targets).sum()), 10)
    assert split.loss == pytest.approx(F.cross_entropy(logits, targets).item(), rel=1e-6)
    assert (whole.correct, whole.count) == (split.correct, split.count)
    assert whole.loss_sum == pytest.approx(split.loss_sum, rel=1e-6)


def test_evaluations_add_up(model, items):
    parts = [evaluate(model, [batch]) for batch in ragged(*items)]
    total = sum(parts[1:], parts[0])
    assert total.accuracy == evaluate(model, [items]).accuracy
    assert Evaluation(1, 2, 3.0) + Evaluation(1, 3, 2.0) == Evaluation(2, 5, 5.0)


@pytest.mark.parametrize("function", [evaluate, predict])
def test_the_model_is_given_back_as_it_was(function, model, items):
    model.train()
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    function(model, [items])
    assert [module.training for module in model] == [True, False, True, True]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("function", [evaluate, predict])
def test_prediction_is_in_eval_mode(function, model, items):
    model.train()
    first, second = function(model, [items]), function(model, [items])
    if function is predict:
        first, second = first[0].tolist(), second[0].tolist()
    assert first == second


def test_log_probabilities_are_scored_as_logits_are(model, items):
    log_softmax = nn.Sequential(model, nn.LogSoftmax(dim=1))
    assert evaluate(log_softmax, [items]).loss == pytest.approx(evaluate(model, [items]).loss)
    assert torch.allclose(predict(log_softmax, [items])[0], predict(model, [items])[0])


def test_probability_targets(model, items):
    inputs, targets = items
    soft = F.one_hot(targets, 3).float()
    assert evaluate(model, [(inputs, soft)]).correct == evaluate(model, [items]).correct
    assert evaluate(model, [(inputs, soft)]).loss == pytest.approx(evaluate(model, [items]).loss)
    assert torch.equal(predict(model, [(inputs, soft)])[1], soft)


def test_levels_give_one_evaluation_each(items):
    inputs, fine = items
    model, coarse = Levels(), fine // 2
    levels = evaluate(model, ragged(inputs, torch.stack([coarse, fine], dim=1)))
    assert [level.count for level in levels] == [10, 10]
    assert levels[0].correct == int((model.coarse(inputs).argmax(1) == coarse).sum())
    assert levels[1].loss == pytest.approx(F.cross_entropy(model.fine(inputs), fine).item(), rel=1e-6)


def test_levels_of_probabilities(items):
    inputs, fine = items
    model = Levels()
    soft = (F.one_hot(fine // 2, 2).float(), F.one_hot(fine, 3).float())
    hard = torch.stack([fine // 2, fine], dim=1)
    of_soft, of_hard = evaluate(model, [(inputs, soft)]), evaluate(model, [(inputs, hard)])
    assert [level.correct for level in of_soft] == [level.correct for level in of_hard]


def test_predict_gives_probabilities_in_the_loaders_order(model, items):
    inputs, targets = items
    probabilities, found = predict(model, ragged(inputs, targets))
    assert (probabilities.dtype, probabilities.device.type) == (torch.float32, "cpu")
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(10))
    assert torch.allclose(probabilities, model.eval()(inputs).softmax(dim=1), atol=1e-6)
    assert torch.equal(found, targets)
    assert not probabilities.requires_grad


def test_predict_gives_a_tuple_for_levels(items):
    inputs, fine = items
    probabilities, targets = predict(Levels(), ragged(inputs, torch.stack([fine // 2, fine], 1)))
    assert [tuple(level.shape) for level in probabilities] == [(10, 2), (10, 3)]
    assert torch.equal(targets[0], fine // 2)
    assert torch.equal(targets[1], fine)


@pytest.mark.parametrize("function", [evaluate, predict])
def test_an_empty_loader_is_an_error(function, model):
    with pytest.raises(ValueError, match="the loader gave no batch"):
        function(model, [])


def test_outputs_and_targets_that_do_not_fit_are_errors(model, items):
    inputs, targets = items
    with pytest.raises(ValueError, match=r"targets are \(10, 2\): 2 levels"):
        evaluate(model, [(inputs, torch.stack([targets, targets], 1))])
    with pytest.raises(ValueError, match="targets have 2 levels"):
        evaluate(model, [(inputs, (targets, targets))])
    with pytest.raises(ValueError, match="2 outputs and the targets have 3 levels"):
        evaluate(Levels(), [(inputs, torch.stack([targets] * 3, 1))])


def test_further_entries_of_a_batch_are_ignored(model, items):
    assert evaluate(model, [(*items, {"meta": 1})]) == evaluate(model, [items])


@pytest.mark.parametrize("machine", [Machine(precision="bf16"), Machine(memory_format="channels_last")])
def test_every_machine_gives_about_the_same(machine):
    torch.manual_seed(0)
    model, batch = SmallCNN(2), (torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 0, 1]))
    plain, other = predict(model, [batch])[0], predict(model, [batch], machine=machine)[0]
    assert other.dtype == torch.float32
    assert torch.allclose(plain, other, atol=0.02)
    assert evaluate(model, [batch], machine=machine).count == 4
