import copy
import gc

import pytest
import torch
from torch import nn

from clslab import train as train_module
from clslab.device import Machine
from clslab.models import transfer
from clslab.models.small import SmallCNN
from clslab.recipe import Recipe
from clslab.train import Evaluation, History, TrainingDiverged, evaluate, fit, predict

RECIPE = Recipe(epochs=3, lr=0.02, batch_size=16)


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(before, model):
    return all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def scripted(monkeypatch, accuracies):
    """Give the validation of each epoch this accuracy, out of 100."""
    left = list(accuracies)

    def evaluated(model, loader, *, machine=None):
        return Evaluation(left.pop(0), 100, 50.0)

    monkeypatch.setattr(train_module, "evaluate", evaluated)


def weights_by_epoch(model):
    """A callback that keeps what the model was after each epoch, and the list it keeps it in."""
    kept = []
    return kept, lambda record: kept.append(snapshot(model))


def test_it_learns(net, loaders):
    model, (train, val) = net(), loaders()
    before = evaluate(model, val).accuracy
    history = fit(model, train, val, Recipe(epochs=15, lr=0.02))
    assert evaluate(model, val).accuracy > before + 0.2
    assert history.records[-1]["train_loss"] < history.records[0]["train_loss"]
    assert history.stopped == "finished"
    assert len(history) == 15


def test_records_hold_counts_over_all_items(net, loaders):
    model, (train, val) = net(), loaders()
    history = fit(model, train, val, RECIPE.replace(epochs=1))
    (record,) = history.records
    assert list(record) == [
        "epoch",
        "lr",
        "train_loss",
        "train_accuracy",
        "val_loss",
        "val_accuracy",
        "seconds",
    ]
    assert record["val_accuracy"] == evaluate(model, val).accuracy
    assert record["val_loss"] == evaluate(model, val).loss
    assert round(record["train_accuracy"] * 50, 9) % 1 == 0  # 50 items, the last batch of 2


def test_one_step_is_the_step_by_hand(net, dataset):
    model, batch = net(), dataset[:16]
    model.dropout.p = 0.0
    by_hand = copy.deepcopy(model).train()
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.9)
    recipe = Recipe(
        epochs=3,
        optimizer="sgd",
        optimizer_options={"momentum": 0.9},
        lr=0.1,
        weight_decay=0.0,
        schedule="constant",
        clip_norm=0.5,
    )
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(by_hand(batch[0]), batch[1])
        loss.backward()
        nn.utils.clip_grad_norm_(by_hand.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
    history = fit(model, [batch], None, recipe)
    assert same(by_hand.state_dict(), model)
    assert [record["train_loss"] for record in history.records] == losses


def test_clipping_changes_the_step(net, dataset):
    ends = []
    for clip_norm in (None, 1e-3):
        model = net()
        start = model.head.weight.detach().clone()
        recipe = Recipe(epochs=1, optimizer="sgd", lr=1.0, weight_decay=0.0, clip_norm=clip_norm)
        fit(model, [dataset[:16]], None, recipe)
        ends.append((model.head.weight - start).norm().item())
    assert ends[1] <= 1e-3 < ends[0]


@pytest.mark.parametrize(("accuracies", "best"), [([50, 80, 80, 70], 2), ([90, 80, 70, 90], 1), ([1, 2, 3, 4], 4)])
def test_the_best_weights_come_back_and_of_equal_ones_the_first(monkeypatch, net, loaders, accuracies, best):
    scripted(monkeypatch, accuracies)
    model, (train, val) = net(), loaders()
    kept, keep = weights_by_epoch(model)
    history = fit(model, train, val, RECIPE.replace(epochs=4), on_epoch=keep)
    assert history.best_epoch == best
    assert same(kept[best - 1], model)


def test_without_validation_the_last_weights_stay(net, loaders):
    model, (train, _) = net(), loaders()
    kept, keep = weights_by_epoch(model)
    history = fit(model, train, None, RECIPE, on_epoch=keep)
    assert history.best_epoch is None
    assert history.records[-1]["val_loss"] is None
    assert same(kept[-1], model)


def test_patience_stops(monkeypatch, net, loaders):
    scripted(monkeypatch, [50, 60, 60, 55, 99])
    train, val = loaders()
    history = fit(net(), train, val, RECIPE.replace(epochs=9), patience=2)
    assert (len(history), history.best_epoch, history.stopped) == (4, 2, "patience")


def test_patience_that_runs_out_in_the_last_epoch_is_a_finish(monkeypatch, net, loaders):
    scripted(monkeypatch, [50, 40])
    history = fit(net(), *loaders(), RECIPE.replace(epochs=2), patience=1)
    assert history.stopped == "finished"


def test_ctrl_c_keeps_the_best_weights(monkeypatch, net, loaders):
    scripted(monkeypatch, [50, 40, 30])
    model, (train, val) = net(), loaders()
    kept, keep = weights_by_epoch(model)

    def interrupt(record):
        keep(record)
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    history = fit(model, train, val, RECIPE, on_epoch=interrupt)
    assert (history.stopped, len(history), history.best_epoch) == ("interrupted", 2, 1)
    assert same(kept[0], model)


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_spoilt(net, dataset):
    batches = [dataset[:16], dataset[16:32], dataset[32:]]
    batches[1] = (torch.full_like(batches[1][0], float("nan")), batches[1][1])
    model = net()
    with pytest.raises(TrainingDiverged, match=r"nan at step 2 of epoch 1, at learning rate 0\.02") as caught:
        fit(model, batches, None, RECIPE.replace(schedule="constant"))
    assert (caught.value.step, caught.value.epoch, caught.value.lr) == (2, 1, 0.02)
    assert all(torch.isfinite(weight).all() for weight in model.parameters())


def test_a_learning_rate_that_is_far_too_high_diverges(net, loaders):
    recipe = Recipe(epochs=5, optimizer="sgd", optimizer_options={"momentum": 0.9}, lr=1e30)
    with pytest.raises(TrainingDiverged, match="take a smaller lr"):
        fit(net(), *loaders(), recipe)


def test_divergence_in_a_later_epoch_leaves_the_best_weights(net, loaders, dataset):
    class Spoilt(list):
        def set_epoch(self, epoch):
            if epoch == 2:
                self[-1] = (self[-1][0] * float("inf"), self[-1][1])

    model, (_, val) = net(), loaders()
    kept, keep = weights_by_epoch(model)
    with pytest.raises(TrainingDiverged, match="epoch 2"):
        fit(model, Spoilt([dataset[:25], dataset[25:]]), val, RECIPE, on_epoch=keep)
    assert same(kept[0], model)


def test_divergence_can_be_pickled():
    error = copy.copy(TrainingDiverged(3, 2, 0.1, float("nan")))
    assert (error.step, error.epoch, error.lr) == (3, 2, 0.1)


def test_modes_are_given_back(net, loaders):
    model = net().eval()
    model.head.train()
    fit(model, *loaders(), RECIPE.replace(epochs=1))
    assert [model.training, model.norm.training, model.head.training] == [False, False, True]


def test_only_what_requires_a_gradient_is_trained(net, loaders):
    model = net()
    model.first.requires_grad_(False)
    before = snapshot(model.first)
    fit(model, *loaders(), RECIPE)
    assert same(before, model.first)
    assert all(weight.grad is None for weight in model.first.parameters())


def test_a_single_item_and_batch_norm(net, dataset):
    with pytest.raises(ValueError, match=r"batch of 1 is too small for batch norm.*drop_last=True.*batch_size"):
        fit(net(), [dataset[:16], dataset[16:17]], None, RECIPE)


def test_other_errors_of_the_model_are_not_reworded(dataset):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(6, 3)

        def forward(self, inputs):
            raise ValueError("my own words")

    with pytest.raises(ValueError, match=r"^my own words$"):
        fit(Broken(), [dataset[:16]], None, RECIPE)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sam_adaptive": True}, "sam_adaptive = True changes nothing without a radius"),
        ({"loss": "hinge"}, "unknown loss 'hinge'"),
        ({"optimizer": "lion"}, "unknown optimizer 'lion'"),
        ({"precision": "fp16"}, "needs a CUDA device"),
    ],
)
def test_what_the_loop_cannot_do_is_refused(net, loaders, fields, message):
    with pytest.raises(ValueError, match=message):
        fit(net(), *loaders(), RECIPE.replace(**fields))


def test_patience_without_validation_or_below_one_is_refused(net, loaders):
    train, val = loaders()
    with pytest.raises(ValueError, match="patience needs a validation set"):
        fit(net(), train, None, RECIPE, patience=1)
    with pytest.raises(ValueError, match="patience = 0"):
        fit(net(), train, val, RECIPE, patience=0)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_an_empty_loader_is_an_error(net, loaders, schedule):
    with pytest.raises(ValueError, match="gave no batch"):
        fit(net(), [], None, RECIPE.replace(schedule=schedule))
    with pytest.raises(ValueError, match="gave no batch"):
        fit(net(), loaders()[0], [], RECIPE.replace(schedule=schedule))


def test_a_loader_without_a_length_needs_a_schedule_that_does_not_count(net, dataset):
    class Stream:
        def __iter__(self):
            return iter([dataset[:16]])

    class Items(torch.utils.data.IterableDataset):
        def __iter__(self):
            return (dataset[index] for index in range(16))

    of_items = torch.utils.data.DataLoader(Items(), batch_size=16)  # has a length in name, and none when asked
    for loader in (Stream(), of_items):
        with pytest.raises(ValueError, match="the loader has no length"):
            fit(net(), loader, None, RECIPE)
        assert len(fit(net(), loader, None, RECIPE.replace(schedule="constant"))) == 3


def test_no_epochs_change_nothing(net, loaders):
    model = net()
    before = snapshot(model)
    history = fit(model, *loaders(), RECIPE.replace(epochs=0))
    assert (len(history), history.best_epoch) == (0, None)
    assert same(before, model)


def test_cosine_goes_on_with_each_step_and_step_with_each_epoch(net, loaders):
    rates = {}
    for name, options in {"cosine": {}, "step": {"step_size": 2, "gamma": 0.1}}.items():
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        seen = []
        optimizer.register_step_post_hook(
            lambda own, arguments, options, seen=seen: seen.append(own.param_groups[0]["lr"])
        )
        recipe = Recipe(epochs=4, schedule=name, schedule_options=options)
        fit(model, *loaders(), recipe, optimizer=optimizer)
        rates[name] = seen
    assert len(set(rates["cosine"])) == 16
    assert rates["cosine"] == sorted(rates["cosine"], reverse=True)
    assert rates["step"] == [1.0] * 8 + [0.1] * 8


def test_the_recorded_rate_is_that_of_the_first_step(net, loaders):
    recipe = Recipe(epochs=4, lr=0.4, schedule="step", schedule_options={"step_size": 2})
    history = fit(net(), *loaders(), recipe)
    assert [record["lr"] for record in history.records] == pytest.approx([0.4, 0.4, 0.04, 0.04])


def test_a_criterion_and_an_optimizer_of_ones_own(net, loaders):
    model, calls = net(), []

    def criterion(outputs, targets):
        calls.append(len(targets))
        return nn.functional.cross_entropy(outputs, targets)

    optimizer = torch.optim.SGD([model.head.weight], lr=0.1)
    before = snapshot(model.first)
    fit(model, *loaders(), RECIPE.replace(epochs=1), criterion=criterion, optimizer=optimizer)
    assert sorted(calls) == [2, 16, 16, 16]
    assert same(before, model.first)


def test_several_levels_with_a_criterion_for_them(dataset):
    class Levels(nn.Module):
        def __init__(self):
            super().__init__()
            self.coarse, self.fine = nn.Linear(6, 2), nn.Linear(6, 3)

        def forward(self, inputs):
            return self.coarse(inputs), self.fine(inputs)

    def criterion(outputs, targets):
        cross_entropy = nn.functional.cross_entropy
        return sum(cross_entropy(own, targets[:, level]) for level, own in enumerate(outputs))

    inputs, fine = dataset[:]
    batches = [(inputs, torch.stack([fine // 2, fine], dim=1))]
    model = Levels()
    history = fit(model, batches, batches, RECIPE, criterion=criterion)
    assert history.records[history.best_epoch - 1]["val_accuracy"] == evaluate(model, batches)[-1].accuracy


def test_mixing_is_the_loaders_business(net, loaders):
    assert len(fit(net(), *loaders(), RECIPE.replace(mix="mixup"))) == RECIPE.epochs


def test_probabilities_as_targets(net, dataset):
    inputs, targets = dataset[:]
    soft = nn.functional.one_hot(targets, 3).float()
    histories = [fit(net(), [(inputs, each)], None, RECIPE).records for each in (targets, soft)]
    for hard, softened in zip(*histories, strict=True):
        assert hard["train_accuracy"] == softened["train_accuracy"]
        assert hard["train_loss"] == pytest.approx(softened["train_loss"], rel=1e-5)


def test_log_softmax_with_nll_is_logits_with_cross_entropy(net, loaders):
    ends = []
    for loss in ("cross-entropy", "nll"):
        model = net()
        model = nn.Sequential(model, nn.LogSoftmax(dim=1)) if loss == "nll" else model
        train, val = loaders()
        fit(model, train, val, RECIPE.replace(loss=loss))
        ends.append(predict(model, val)[0])
    assert torch.allclose(*ends, atol=1e-5)


@pytest.mark.parametrize("machine", [Machine(precision="bf16"), Machine(memory_format="channels_last")])
def test_other_machines_train_too(machine):
    torch.manual_seed(0)
    model = SmallCNN(2)
    before = snapshot(model)
    batches = [(torch.randn(8, 3, 16, 16), torch.arange(8) % 2)]
    fit(model, batches, batches, RECIPE, machine=machine)
    assert not same(before, model)
    assert all(weight.dtype == torch.float32 and weight.is_contiguous() for weight in model.parameters())


def test_the_recipes_precision_wins(net, loaders):
    seen = []
    model = net()
    model.head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    fit(model, *loaders(), RECIPE.replace(epochs=1, precision="bf16"), machine=Machine())
    assert set(seen) == {torch.bfloat16}


def test_loaders_are_told_the_epoch(net, dataset):
    class Told(list):
        def set_epoch(self, epoch):
            told.append(epoch)

    told = []
    fit(net(), Told([dataset[:16]]), None, RECIPE)
    assert told == [1, 2, 3]


def test_the_same_seed_gives_the_same_run(net, loaders):
    runs = []
    for _ in range(2):
        model = net(7)
        history = fit(model, *loaders(), RECIPE)
        runs.append((model.state_dict(), [record["train_loss"] for record in history.records]))
    assert all(torch.equal(runs[0][0][name], runs[1][0][name]) for name in runs[0][0])
    assert runs[0][1] == runs[1][1]


def test_memory_does_not_grow_with_the_epochs(net, loaders):
    counts = []

    def count(record):
        if record["epoch"] in (2, 6):
            gc.collect()
            counts.append(sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects()))

    fit(net(), *loaders(), RECIPE.replace(epochs=6), on_epoch=count)
    assert counts[0] == counts[1]


def test_a_borrowed_model_trains_its_head_only():
    torch.manual_seed(0)
    model = transfer.build("efficientnet_lite0", num_classes=2, pretrained=False)
    batches = [(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 0, 1]))]
    before = snapshot(model.backbone)
    fit(model, batches, batches, RECIPE)
    assert same(before, model.backbone)


def test_history_as_a_frame(net, loaders):
    history = fit(net(), *loaders(), RECIPE)
    frame = history.to_frame()
    assert frame["epoch"].tolist() == [1, 2, 3]
    assert frame["val_loss"].tolist() == [record["val_loss"] for record in history.records]
    assert History().to_frame().empty
