import math

import pytest
import timm
import torch
from torch import nn

from clslab import init, routes, whole_batches
from clslab.device import Machine
from clslab.init import RULES, initialise
from clslab.recipe import Recipe


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(32, 64, 3)
        self.grouped = nn.Conv2d(64, 128, 3, groups=4)
        self.depthwise = nn.Conv2d(256, 256, 5, groups=256, bias=False)
        self.norm = nn.BatchNorm2d(64)
        self.layer_norm = nn.LayerNorm(64)
        self.group_norm = nn.GroupNorm(2, 64)
        self.plain_norm = nn.BatchNorm2d(64, affine=False)
        self.linear = nn.Linear(256, 100)
        self.token = nn.Parameter(torch.full((3,), 7.0))


@pytest.fixture
def model():
    torch.manual_seed(0)
    found = Layers()
    with torch.no_grad():
        for name, weight in found.named_parameters():
            if name != "token":
                weight.fill_(5.0)
    return found


def test_default_changes_nothing(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert initialise(model, "default") is model
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", [name for name in RULES if name != "default"])
def test_every_rule_draws_weights_and_sets_norms_and_biases(name, model):
    torch.manual_seed(1)
    initialise(model, name)
    for layer in (model.conv, model.grouped, model.linear):
        assert layer.bias.abs().max() == 0
    for layer in (model.norm, model.layer_norm, model.group_norm):
        assert (layer.weight.unique().item(), layer.bias.abs().max().item()) == (1, 0)
    assert model.token.tolist() == [7, 7, 7]
    for layer in (model.conv, model.grouped, model.depthwise, model.linear):
        assert abs(layer.weight.mean().item()) < 4 * layer.weight.std().item() / math.sqrt(layer.weight.numel())
    again = Layers()
    torch.manual_seed(1)
    initialise(again, name)
    assert torch.equal(again.conv.weight, model.conv.weight)  # one seed, one network


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kaiming", {"conv": 2 / (64 * 9), "grouped": 2 / (32 * 9), "depthwise": 2 / 25, "linear": 1e-4}),
        (
            "xavier",
            {"conv": 2 / (96 * 9), "grouped": 2 / ((16 + 32) * 9), "depthwise": 2 / (2 * 25), "linear": 2 / 356},
        ),
    ],
)
def test_the_variances_are_those_of_the_papers(name, expected, model):
    torch.manual_seed(1)
    initialise(model, name)
    for layer, variance in expected.items():
        assert getattr(model, layer).weight.var().item() == pytest.approx(variance, rel=0.06), layer


def test_without_groups_they_are_torchs_own(model):
    torch.manual_seed(1)
    initialise(nn.Sequential(model.conv), "kaiming")
    torch.manual_seed(1)
    expected = nn.init.kaiming_normal_(torch.empty(64, 32, 3, 3), mode="fan_out", nonlinearity="relu")
    assert torch.allclose(model.conv.weight, expected)
    torch.manual_seed(1)
    initialise(nn.Sequential(model.conv), "xavier")
    torch.manual_seed(1)
    assert torch.allclose(model.conv.weight, nn.init.xavier_uniform_(torch.empty(64, 32, 3, 3)))


@pytest.mark.parametrize("groups", [1, 8])
def test_gradients_keep_their_size_through_many_layers(groups):
    """What the rule is for: twenty layers of convolution and ReLU, and the gradient has not faded."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(64, 64, 3, padding=1, padding_mode="circular", groups=groups) for _ in range(20)]
    model = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())])
    sizes = {}
    for name in ("default", "kaiming"):
        initialise(model, name)
        inputs = torch.randn(2, 64, 8, 8, requires_grad=True)
        outputs = model(inputs)
        outputs.backward(torch.randn_like(outputs))
        sizes[name] = inputs.grad.std().item()
    assert sizes["default"] < 1e-4
    assert 0.1 < sizes["kaiming"] < 10


def test_norms_of_timm_are_found_too():
    model = timm.create_model("tf_efficientnet_lite0", num_classes=3)
    with torch.no_grad():
        model.bn1.weight.fill_(3.0)
    initialise(model, "kaiming")
    assert model.bn1.weight.unique().item() == 1


def test_an_unknown_name_is_refused(model):
    with pytest.raises(ValueError, match="init = 'zero' is unknown; choose one of default, kaiming, xavier"):
        init.initialise(model, "zero")


# ------------------------------------------------------------------------------- where a recipe names it


SMALL = Recipe(
    data="cifar100",
    model="resnet9",
    model_options={"width": 4},
    train_part="scratch",
    image_size=32,
    augment="shift-flip",
    subset=1,
)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"model": "small_cnn"},
        {"data": "debris", "model": "small_cnn", "augment": "resize"},
        {"data": "debris", "model": "efficientnet_lite0", "model_options": {}, "augment": "resize"},
        {
            "data": "debris",
            "model": "resnet18",
            "model_options": {},
            "augment": "resize",
            "train_part": "all",
            "pretrained": False,
        },
    ],
    ids=["whole batches", "small network", "small network on photographs", "from scratch", "random weights"],
)
def test_every_route_draws_weights_by_the_recipes_init(fields, empty_machine, shelf):
    first = {}
    for name in ("default", "kaiming"):
        recipe = SMALL.replace(**fields, init=name)
        splits = shelf.splits(recipe)
        task = routes.Task(recipe, splits, routes.training_indices(splits, recipe), Machine("cpu", threads=1), shelf)
        torch.manual_seed(0)
        model = whole_batches.untrained(task) if whole_batches.takes_batches(recipe) else routes._model(task)
        first[name] = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    fan_out = first["kaiming"].out_channels * first["kaiming"].kernel_size[0] ** 2
    assert first["kaiming"].weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.25)
    assert not torch.equal(first["default"].weight, first["kaiming"].weight)


def test_borrowed_weights_are_not_drawn_anew(empty_machine, shelf):
    recipe = Recipe(data="debris", train_part="all", init="kaiming", image_size=32)
    splits = shelf.splits(recipe)
    task = routes.Task(recipe, splits, routes.training_indices(splits, recipe), Machine("cpu", threads=1), shelf)
    with pytest.raises(ValueError, match=r"init = 'kaiming' would overwrite borrowed weights; .*pretrained = false"):
        routes.train_task(task)
