"""The network with a head per level: shapes, the two stages, what is fixed, and the maps between parts."""

import copy

import pytest
import torch
from torch import nn

from clslab.models import create, list_models
from clslab.models.multilayer import MultilayerNet, Recolour, TemporalEncoder, pooled, stages_of
from clslab.models.zoo.resnet import ResNet9
from clslab.recipe import Recipe
from clslab.taxonomy import Taxonomy
from clslab.train import evaluate, fit

TREE = Taxonomy.from_paths([("a", "a0"), ("a", "a1"), ("b", "b0"), ("b", "b1")])
DEEP = Taxonomy.from_paths([("o", "f", "s0"), ("o", "f", "s1"), ("o", "g", "s2"), ("p", "h", "s3")])


def small(**options):
    torch.manual_seed(0)
    return MultilayerNet("resnet9", TREE, width=4, **options)


def pictures(count=12, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, 16, 16, generator=draw)


def batches():
    inputs, leaves = pictures(), torch.arange(12) % 4
    targets = torch.stack([leaves // 2, leaves], dim=1)
    return [(inputs[:6], targets[:6]), (inputs[6:], targets[6:])]


def state(modules):
    return [{key: value.clone() for key, value in module.state_dict().items()} for module in modules]


def same(before, after):
    return all(torch.equal(one[key], two[key]) for one, two in zip(before, after, strict=True) for key in one)


@pytest.mark.parametrize("backbone", ["resnet9", "mobilenet"])
@pytest.mark.parametrize("adapter", ["none", "conv", "coral"])
@pytest.mark.parametrize("temporal", ["pool", "gru", "attention"])
def test_one_answer_per_level(backbone, adapter, temporal):
    net = MultilayerNet(backbone, DEEP, adapter=adapter, temporal=temporal, in_channels=2, width=4)
    answers = net.eval()(torch.randn(2, 2, 40, 32))
    assert [tuple(answer.shape) for answer in answers] == [(2, 2), (2, 3), (2, 4)]


def test_borrowed_backbone_keeps_its_features():
    net = MultilayerNet("efficientnet_lite0", TREE, cuts=[4]).eval()
    features = torch.randn(1, 3, 64, 64)
    for part in net.parts:
        features = part(features)
    whole = stages_of("efficientnet_lite0")
    assert features.shape[1] == 1280
    assert len(net.parts[0]) == 4
    assert len(whole) == 9


def test_the_parts_in_a_row_are_the_backbone():
    torch.manual_seed(3)
    net = MultilayerNet("resnet9", TREE, width=4).eval()
    torch.manual_seed(3)
    plain = create("resnet9", num_classes=2, width=4).eval()
    assert isinstance(plain, ResNet9)
    features = pictures(2)
    for part in net.parts:
        features = part(features)
    torch.testing.assert_close(features, plain.blocks(pictures(2)))


UNCUT = {"cait_xxs24", "swin_tiny", "vit_tiny", "nasnet"}


@pytest.mark.parametrize("name", list_models())
def test_every_network_of_the_zoo_is_cut_into_the_row_that_it_is(name):
    if name in UNCUT:
        with pytest.raises(ValueError, match=f"'{name}' cannot be cut"):
            stages_of(name)
        return
    side = 96 if name.startswith("inception") else 64  # the smallest of its pictures
    torch.manual_seed(3)
    row = nn.Sequential(*stages_of(name)).eval()
    torch.manual_seed(3)
    whole = create(name, num_classes=2).eval()
    given = []
    first_after = whole.head if name == "squeezenet" else whole.pool
    first_after.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].clone()))
    views = torch.randn(1, 3, side, side)
    with torch.no_grad():
        whole(views)
        torch.testing.assert_close(row(views), given[0])


def test_a_tree_of_one_level_is_the_flat_network():
    flat = MultilayerNet("resnet9", Taxonomy.from_paths([("x",), ("y",)]), width=4)
    assert len(flat.parts) == len(flat.heads) == 1
    assert len(flat(pictures(2))) == 1
    with pytest.raises(ValueError, match="no coarse labels"):
        flat.shallow_classifier()


def test_stage_one_trains_the_shallow_weights_and_leaves_the_deep_ones():
    net = small()
    shallow, deep = state([net.parts[0], net.heads[0]]), state([net.parts[1], net.heads[1]])
    coarse = [(inputs, targets[:, :1]) for inputs, targets in batches()]
    fit(
        net.shallow_classifier(),
        coarse,
        None,
        Recipe(epochs=2, lr=0.01),
        criterion=lambda outputs, targets: nn.functional.cross_entropy(outputs[0], targets[:, 0]),
    )
    assert not same(shallow, state([net.parts[0], net.heads[0]]))
    assert same(deep, state([net.parts[1], net.heads[1]]))


@pytest.mark.parametrize("adapter", ["none", "conv", "coral"])
def test_a_fixed_part_of_a_deep_tree_answers_as_it_did_in_stage_one(adapter):
    torch.manual_seed(0)
    net = MultilayerNet("resnet9", DEEP, shallow="fixed", adapter=adapter, width=4)
    pictures, leaves = torch.randn(8, 3, 32, 32), torch.tensor([0, 1, 2, 3] * 2)
    net.train()(pictures)  # the statistics of batch norm are no longer those of a new network
    before = [answer.clone() for answer in net.eval()(pictures)]
    net.connect([(pictures, leaves)]).train()
    movable = [one for one in net.parameters() if one.requires_grad]
    optimizer = torch.optim.SGD(movable, lr=0.1, weight_decay=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(pictures)[-1], leaves).backward()
        optimizer.step()
    after = net.eval()(pictures)
    assert all(torch.equal(a, b) for a, b in zip(before[:-1], after[:-1], strict=True))
    assert not torch.equal(before[-1], after[-1])


@pytest.mark.parametrize("shallow", ["fixed", "updated"])
def test_stage_two_moves_the_shallow_part_only_if_it_is_updated(shallow):
    net = small(shallow=shallow, adapter="conv").connect()
    before = state([net.parts[0], net.heads[0]])
    deep = state([net.parts[1], net.heads[1], net.adapters[0]])
    fit(
        net,
        batches(),
        None,
        Recipe(epochs=2, lr=0.05, weight_decay=0.1),
        criterion=lambda outputs, targets: nn.functional.cross_entropy(outputs[1], targets[:, 1]),
    )
    # Weights, running means and variances, and the counters of batch norm.
    assert same(before[:1], state([net.parts[0]])) == (shallow == "fixed")
    if shallow == "fixed":
        assert same(before, state([net.parts[0], net.heads[0]]))
    after = state([net.parts[1], net.heads[1], net.adapters[0]])
    assert all(not same([one], [two]) for one, two in zip(deep, after, strict=True))


def test_before_it_is_connected_nothing_is_fixed():
    net = small(shallow="fixed").train()
    assert all(weight.requires_grad for weight in net.parameters())
    assert all(module.training for module in net.modules())
    net.connect()
    assert not any(weight.requires_grad for weight in net.parts[0].parameters())
    assert not any(module.training for module in net.parts[0].modules())
    assert all(module.training for module in net.parts[1].modules())
    assert not any(module.training for module in net.eval().modules())


def test_evaluate_gives_one_score_per_level():
    found = evaluate(small(), batches())
    assert [one.count for one in found] == [12, 12]


def test_an_adapter_of_convolution_starts_as_the_identity():
    net = small(adapter="conv").eval()
    maps = torch.randn(2, net.adapters[0][0].in_channels, 5, 5)
    torch.testing.assert_close(net.adapters[0](maps), maps, rtol=1e-4, atol=1e-4)


def test_coral_gives_features_the_wanted_mean_and_covariance():
    draw = torch.Generator().manual_seed(0)
    mixing = torch.randn(4, 4, generator=draw, dtype=torch.float64)
    columns = torch.randn(5000, 4, generator=draw, dtype=torch.float64) @ mixing + 3
    wanted_root = torch.randn(4, 4, generator=draw, dtype=torch.float64)
    wanted = torch.arange(4, dtype=torch.float64), wanted_root @ wanted_root.T
    layer = Recolour(4).fit((columns.mean(0), torch.cov(columns.T)), wanted)
    out = layer(columns.float().T.reshape(1, 4, 50, 100)).double().flatten(2)[0]
    torch.testing.assert_close(out.mean(1), wanted[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(torch.cov(out), wanted[1], atol=0.05 * float(wanted[1].abs().max()), rtol=0.05)
    assert not list(layer.parameters())


def test_coral_whitens_what_the_deep_part_sees():
    net = small(adapter="coral").connect(batches()).eval()
    shallow = torch.cat([net.parts[0](inputs) for inputs, _ in batches()])
    seen = net.adapters[0](shallow).transpose(0, 1).flatten(1)
    torch.testing.assert_close(seen.mean(1), torch.zeros(len(seen)), atol=1e-3, rtol=0)
    spread = torch.cov(seen)
    off = spread - spread.diagonal().diag()
    assert off.abs().max() < 0.1
    with pytest.raises(ValueError, match="give connect a loader"):
        small(adapter="coral").connect()


def test_coral_can_imitate_another_network():
    torch.manual_seed(5)
    other = MultilayerNet("resnet9", TREE, width=4, adapter="coral").eval()
    net = small(adapter="coral").connect(batches(), like=other).eval()
    seen, wanted = (
        torch.cat([model.adapters[0](model.parts[0](inputs)) for inputs, _ in batches()]).transpose(0, 1).flatten(1)
        for model in (net, other)
    )
    torch.testing.assert_close(seen.mean(1), wanted.mean(1), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(torch.cov(seen), torch.cov(wanted), atol=0.05, rtol=0.1)


def test_pool_and_attention_do_not_know_the_order_of_moments_and_gru_does():
    maps = torch.randn(2, 6, 5, 7)
    backwards = maps.flip(dims=[3])
    for kind, knows in (("pool", False), ("attention", False), ("gru", True)):
        torch.manual_seed(0)
        encoder = TemporalEncoder(6, kind)
        shuffled = maps[..., torch.tensor([3, 1, 0, 6, 2, 5, 4])]
        assert torch.allclose(encoder(maps), encoder(shuffled), atol=1e-6) != knows
        assert encoder(backwards).shape == (2, 6)


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_bands_are_pooled_stripe_by_stripe(bands):
    maps = torch.randn(2, 3, 8, 7)
    stripes = [pooled(stripe) for stripe in maps.chunk(bands, dim=2)]
    found = pooled(maps, bands)
    torch.testing.assert_close(found.reshape(2, 3, bands), torch.stack(stripes, dim=2))


def test_coarse_heads_that_keep_bands_tell_high_from_low():
    # Convolutions of one pixel see nothing of the height of a picture, so only the pooling can keep it.
    backbone = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU())
    low = torch.rand(3, 1, 8, 5)
    high = low.flip(dims=[2])
    for bands, differs in ((1, False), (2, True)):
        torch.manual_seed(0)
        net = MultilayerNet(copy.deepcopy(backbone), TREE, in_channels=1, cuts=[2], bands=bands)
        assert net.heads[0].in_features == 4 * bands
        assert net.heads[1].in_features == 4  # the deepest one takes what the encoder gives, as before
        for network in (net, net.shallow_classifier()):
            assert torch.allclose(network(low)[0], network(high)[0], atol=1e-6) != differs
        torch.testing.assert_close(net(low)[0], net.shallow_classifier()(low)[0])


@pytest.mark.parametrize("bands", [3, 16])
def test_bands_that_do_not_divide_the_rows_are_refused(bands):
    with pytest.raises(ValueError, match=f"bands = {bands}, and the maps have 8 rows; take a number that divides"):
        small(bands=bands)(pictures(2))
    with pytest.raises(ValueError, match="bands = 0"):
        pooled(torch.zeros(1, 2, 8, 3), 0)


def test_attention_weighs_moments():
    encoder = TemporalEncoder(4, "attention")
    with torch.no_grad():
        encoder.score[0].weight.zero_()
        encoder.score[0].bias.zero_()
        encoder.score[0].weight[0, 0] = 100.0
        encoder.score[2].weight.zero_()
        encoder.score[2].weight[0, 0] = 100.0
    maps = torch.zeros(1, 4, 3, 5)
    maps[0, :, :, 2] = 1.0  # the only moment that the score sees
    torch.testing.assert_close(encoder(maps), torch.ones(1, 4))


def test_weights_survive_a_checkpoint():
    net = small(adapter="coral").connect(batches()).eval()
    copied = small(adapter="coral").eval()
    copied.load_state_dict(copy.deepcopy(net.state_dict()))
    for one, two in zip(net(pictures(3)), copied(pictures(3)), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shallow": "frozen"}, "shallow = 'frozen'"),
        ({"adapter": "linear"}, "adapter = 'linear'"),
        ({"temporal": "lstm"}, "temporal = 'lstm'"),
        ({"cuts": [0]}, r"cuts = \(0,\)"),
        ({"cuts": [6]}, r"cuts = \(6,\)"),
        ({"cuts": [2, 3]}, "needs 1 rising"),
        ({"bands": 0}, "bands = 0; give how many stripes"),
        ({"bands": 2.0}, "bands = 2.0"),
    ],
)
def test_errors_say_what_is_known(options, words):
    with pytest.raises(ValueError, match=words):
        small(**options)


def test_a_backbone_that_cannot_be_cut_is_named():
    with pytest.raises(ValueError, match="'vit_tiny' cannot be cut"):
        MultilayerNet("vit_tiny", TREE)
    with pytest.raises(ValueError, match="built already"):
        MultilayerNet(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)), TREE, width=4)
    with pytest.raises(ValueError, match="even number"):
        TemporalEncoder(5, "gru")
