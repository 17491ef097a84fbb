"""Views of a picture, and the answer that is averaged over them."""

import itertools

import pytest
import torch
from torch import nn

from clslab import routes, runs, train, tta
from clslab.device import Machine
from clslab.recipe import Recipe

CPU = Machine("cpu", threads=1, name="test")
ALL_VIEWS = [(name, number) for name, views in tta.VIEWS.items() for number in range(len(views))]


@pytest.fixture
def inputs():
    return torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def batches(inputs):
    return [(inputs[:4], torch.arange(4)), (inputs[4:], torch.arange(4, 6))]


class Net(nn.Module):
    """A small network with batch norm and dropout, which counts its forward passes."""

    def __init__(self, classes=6):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten())
        self.head = nn.Linear(4 * 14 * 14, classes)
        self.passes = 0

    def forward(self, inputs):
        self.passes += 1
        return self.head(self.body(inputs))


# ------------------------------------------------------------------------------------------ views


@pytest.mark.parametrize(("name", "number"), ALL_VIEWS)
def test_a_view_keeps_shape_and_type_and_its_argument(name, number, inputs):
    before = inputs.clone()
    for given in (inputs, inputs.to(memory_format=torch.channels_last), inputs.double(), inputs[..., :9]):
        seen = tta.VIEWS[name][number](given)
        assert (seen.shape, seen.dtype) == (given.shape, given.dtype)
        if given.is_contiguous(memory_format=torch.channels_last):  # as the network was told to expect
            assert seen.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(inputs, before)


@pytest.mark.parametrize("name", tta.VIEWS)
def test_every_view_of_a_set_is_another_one(name, inputs):
    views = tta.VIEWS[name]
    assert torch.equal(views[0](inputs), inputs)  # the first is the plain picture
    seen = [view(inputs) for view in views]
    for a, b in itertools.combinations(seen, 2):
        assert (a - b).abs().flatten(1).max(dim=1).values.min() > 0.1


def test_the_sets_have_the_views_that_they_are_named_for():
    assert {name: len(views) for name, views in tta.VIEWS.items()} == {"flip": 2, "flip-shift": 10}


@pytest.mark.parametrize(("right", "down"), [(2, 0), (-2, 0), (0, 3), (1, -2)])
def test_a_moved_picture_is_the_picture_elsewhere(right, down, inputs):
    moved = tta.View(right=right, down=down)(inputs)
    inside = moved[..., max(down, 0) : 16 + min(down, 0), max(right, 0) : 16 + min(right, 0)]
    assert torch.equal(inside, inputs[..., max(-down, 0) : 16 - max(down, 0), max(-right, 0) : 16 - max(right, 0)])
    # What came in is the picture's own border, mirrored.
    if right > 0:
        assert torch.equal(moved[..., 5, right - 1], inputs[..., 5 - down, 1])
    flipped = tta.View(flip=True, right=right, down=down)(inputs)
    assert torch.equal(flipped, tta.View(right=right, down=down)(inputs.flip(-1)))


# ---------------------------------------------------------------------------------------- predict


def test_probabilities_are_averaged_over_views(batches, inputs):
    net, views = Net(), tta.VIEWS["flip-shift"]
    found, targets = tta.predict(net, batches, views, machine=CPU)
    net.eval()
    with torch.no_grad():
        expected = torch.stack([net(view(inputs)).softmax(dim=1) for view in views]).mean(dim=0)
        logits = torch.stack([net(view(inputs)) for view in views]).mean(dim=0)
    torch.testing.assert_close(found, expected)
    assert targets.tolist() == list(range(6))
    net.train()
    by_logits, _ = tta.predict(net, batches, views, average="logits", machine=CPU)
    torch.testing.assert_close(by_logits, logits.softmax(dim=1))
    assert not torch.allclose(by_logits, found, atol=1e-4)
    assert net.training  # given back as it was


def test_of_a_linear_model_the_mean_logits_are_those_of_the_mean_picture(batches, inputs):
    torch.manual_seed(0)
    linear, views = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 6)), tta.VIEWS["flip-shift"]
    found, _ = tta.predict(linear, batches, views, average="logits", machine=CPU)
    averaged = torch.stack([view(inputs) for view in views]).mean(dim=0)
    expected, _ = train.predict(linear, [(averaged, torch.arange(6))], machine=CPU)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_one_plain_view_is_predict(average, batches):
    net = Net()
    found, _ = tta.predict(net, batches, [tta.View()], average=average, machine=CPU)
    torch.testing.assert_close(found, train.predict(net, batches, machine=CPU)[0])


def test_the_loader_is_read_once_and_the_model_called_once_a_view(batches):
    class Counted(list):
        reads = 0

        def __iter__(self):
            Counted.reads += 1
            return super().__iter__()

    net, counted = Net(), Counted(batches)
    tta.predict(net, counted, tta.VIEWS["flip-shift"], machine=CPU)
    assert (Counted.reads, net.passes) == (1, 10 * len(batches))


def test_several_levels_are_averaged_each(inputs):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.coarse, self.fine = Net(2), Net(5)

        def forward(self, pictures):
            return self.coarse(pictures), self.fine(pictures)

    two, levels = Two(), torch.zeros(6, 2, dtype=torch.int64)
    found, targets = tta.predict(two, [(inputs, levels)], tta.VIEWS["flip"], machine=CPU)
    assert [each.shape for each in found] == [(6, 2), (6, 5)]
    assert [each.shape for each in targets] == [(6,), (6,)]
    alone, _ = tta.predict(two.fine, [(inputs, levels[:, 1])], tta.VIEWS["flip"], machine=CPU)
    torch.testing.assert_close(found[1], alone)


def test_certain_answers_stay_probabilities(inputs):
    class Certain(nn.Module):
        def forward(self, pictures):
            return torch.tensor([[1e4, -1e4]]).repeat(len(pictures), 1) * pictures[:, :1, 0, 0].sign()

    found, _ = tta.predict(Certain(), [(inputs, torch.zeros(6, dtype=torch.int64))], tta.VIEWS["flip"], machine=CPU)
    assert found.isfinite().all()
    torch.testing.assert_close(found.sum(dim=1), torch.ones(6))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tta.predict(Net(), [], []), "there is no view"),
        (lambda: tta.predict(Net(), [], [tta.View()], average="median"), "average = 'median' is unknown"),
        (lambda: tta.predict(Net(), [], [tta.View()]), "the loader gave no batch"),
        (lambda: tta.views_of("rotate"), "tta = 'rotate' is unknown; choose one of flip, flip-shift"),
        (lambda: tta.View(right=2)(torch.zeros(1, 1, 2, 2)), "pictures of 2 × 2 pixels cannot be moved by 0 and 2"),
    ],
)
def test_what_is_wrong_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---------------------------------------------------------------------------------------- in runs


SMALL = Recipe(
    data="cifar100",
    model="small_cnn",
    model_options={"width": 4},
    train_part="scratch",
    image_size=32,
    augment="shift-flip",
    epochs=2,
    batch_size=64,
    subset=2,
)
PHOTOS = Recipe(image_size=32, model_options={"dropout": 0.1}, epochs=1)


@pytest.mark.parametrize(
    "recipe", [SMALL, PHOTOS, PHOTOS.replace(augment="crop-flip")], ids=["small", "head", "moving"]
)
def test_a_run_is_scored_over_the_views_of_its_recipe(recipe, empty_machine, shelf):
    splits = shelf.splits(recipe)

    def trained(**changes):
        changed = recipe.replace(**changes)
        return routes.train_task(routes.Task(changed, splits, routes.training_indices(splits, changed), CPU, shelf))

    plain, flipped = trained(), trained(tta="flip")
    # Training, and the validation inside of it, know nothing of the views.
    for before, after in zip(plain.history, flipped.history, strict=True):
        assert {**before, "seconds": 0} == {**after, "seconds": 0}
    assert flipped.val_probabilities == pytest.approx(flipped.scorer(splits.val), abs=1e-6)
    difference = abs(flipped.val_probabilities - plain.val_probabilities).max()
    assert difference > 1e-4
    mirrored = routes.network_scorer(plain.model, recipe.replace(tta="flip"), CPU, splits=splits)(splits.val)
    assert flipped.val_probabilities == pytest.approx(mirrored, abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tta": "rotate"}, "tta = 'rotate' is unknown; choose one of flip, flip-shift"),
        ({"tta": "flip", "model": "majority"}, "tta = 'flip' has no meaning for majority"),
        ({"tta": "flip", "train_part": "probe"}, "tta = 'flip' has no meaning for a probe"),
    ],
)
def test_views_that_a_run_cannot_use_are_refused(changes, message, empty_machine, shelf):
    with pytest.raises(ValueError, match=message):
        runs.execute(PHOTOS.replace(model_options={}, **changes), machine=CPU, shelf=shelf)
