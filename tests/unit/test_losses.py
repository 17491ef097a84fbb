"""Every loss of the registry, and each against its closed form."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from clslab import losses
from clslab.recipe import Recipe
from clslab.taxonomy import Taxonomy

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]])
TARGETS = torch.tensor([0, 2])
COUNTS = [50, 10, 1]
TREE = Taxonomy.from_paths([("a", "x"), ("a", "y"), ("b", "z")])


def create(name, **options):
    return losses.create(Recipe(loss=name, loss_options=options), COUNTS, TREE)


def outputs_for(name, logits):
    """What the model of a recipe gives to its loss."""
    return logits.log_softmax(dim=1) if name == "nll" else logits


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(17, 3, generator=generator, dtype=torch.float64), torch.randint(3, (17,), generator=generator)


# ------------------------------------------------------------------------------------ all of them


@pytest.mark.parametrize("name", losses.NAMES)
@pytest.mark.parametrize("size", [1.0, 100.0, 1e4])
def test_value_and_gradient_are_finite(name, size):
    for right in (size, -size):  # nothing left to learn, and all of it
        logits = torch.full((2, 3), -right)
        logits[[0, 1], TARGETS] = right
        logits.requires_grad_()
        loss = create(name)(outputs_for(name, logits), TARGETS)
        loss.backward()
        assert loss.isfinite()
        assert loss >= 0
        assert logits.grad.isfinite().all()


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 5.0])
def test_a_focal_loss_is_finite_for_every_power(gamma):
    logits = torch.tensor([[100.0, -100.0], [-100.0, 100.0], [0.0, 0.0]], requires_grad=True)
    losses.FocalLoss(gamma)(logits, torch.tensor([0, 0, 1])).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", losses.NAMES)
def test_calling_changes_nothing_in_a_loss(name, batch):
    loss = create(name, **({"alpha": [1, 2, 3]} if name == "focal" else {}))
    before = {attribute: copy.deepcopy(value) for attribute, value in vars(loss).items()}
    found = [loss(outputs_for(name, batch[0].float()), batch[1]) for _ in range(3)]
    assert found[0] == found[1] == found[2]
    for attribute, value in before.items():
        same = vars(loss)[attribute]
        if attribute == "_buffers":
            assert all(torch.equal(value[key], same[key]) for key in value if value[key] is not None)
            assert value.keys() == same.keys()
        else:
            assert same == value


@pytest.mark.parametrize("name", losses.NAMES)
def test_the_mean_does_not_depend_on_the_number_of_items(name, batch):
    logits, targets = outputs_for(name, batch[0]), batch[1]
    once, twice = create(name)(logits, targets), create(name)(logits.repeat(2, 1), targets.repeat(2))
    if name == "ohem":  # 9 of 17 and 17 of 34
        once = create(name)(logits[:-1], targets[:-1])
        twice = create(name)(logits[:-1].repeat(2, 1), targets[:-1].repeat(2))
    torch.testing.assert_close(once, twice)


@pytest.mark.parametrize("name", losses.NAMES)
def test_gradients_are_those_of_the_value(name, batch):
    def of_logits(logits):
        return create(name)(outputs_for(name, logits), batch[1])

    assert torch.autograd.gradcheck(of_logits, batch[0].clone().requires_grad_())


@pytest.mark.parametrize("name", losses.NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(name, dtype):
    logits = LOGITS.to(dtype)
    loss = create(name)(outputs_for(name, logits if name != "nll" else logits.float()), TARGETS)
    expected = create(name)(outputs_for(name, logits.float()), TARGETS)
    assert loss.isfinite()
    if name not in ("cross-entropy", "nll"):  # those are torch's, which autocast takes care of
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("name", losses.NAMES)
def test_probabilities_as_targets_are_taken_or_refused(name, batch):
    logits, targets = batch[0].float(), batch[1]
    one_hot = F.one_hot(targets, 3).float()
    loss = create(name)
    if losses.takes_probabilities(name):
        torch.testing.assert_close(loss(logits, one_hot), loss(logits, targets))
    elif name != "nll":  # that one is torch's, and speaks for itself
        with pytest.raises(ValueError, match=r"targets \(17, 3\) of torch.float32; give one class per item"):
            loss(logits, one_hot)


@pytest.mark.parametrize("name", losses.NAMES)
def test_smoothing_reaches_the_loss_or_is_refused(name, batch):
    recipe = Recipe(loss=name, label_smoothing=0.2)
    if not losses.LOSSES[name].smooths:
        with pytest.raises(ValueError, match=r"label_smoothing = 0\.2 needs loss 'cross-entropy'"):
            losses.create(recipe, COUNTS, TREE)
        return
    smoothed, plain = losses.create(recipe, COUNTS, TREE)(*batch), create(name)(*batch)
    assert smoothed != plain
    soft = 0.8 * F.one_hot(batch[1], 3).double() + 0.2 / 3
    if name != "class-balanced":  # there each class of the soft target brings its own weight
        torch.testing.assert_close(smoothed, create(name)(batch[0], soft))


@pytest.mark.parametrize("name", losses.NAMES)
def test_an_unknown_option_is_named_with_the_known_ones(name):
    known = ", ".join(losses.LOSSES[name].options)
    with pytest.raises(ValueError, match=f"loss_options has power; {name} knows only {known}"):
        create(name, power=1)


@pytest.mark.parametrize("name", [name for name, kind in losses.LOSSES.items() if kind.needs_counts])
def test_missing_counts_are_asked_for(name):
    with pytest.raises(ValueError, match=f"loss = '{name}' weighs the classes .*pass counts="):
        losses.create(Recipe(loss=name))


# ------------------------------------------------------------------------------------ torch's own


def test_nll_of_log_softmax_is_cross_entropy():
    nll = losses.create(Recipe(loss="nll"))(LOGITS.log_softmax(dim=1), TARGETS)
    assert torch.allclose(nll, losses.create(Recipe())(LOGITS, TARGETS))


def test_smoothing_and_weights_reach_the_loss():
    smoothed = losses.create(Recipe(label_smoothing=0.3))(LOGITS, TARGETS)
    assert torch.equal(smoothed, nn.functional.cross_entropy(LOGITS, TARGETS, label_smoothing=0.3))
    weighted = losses.create(Recipe(loss_options={"weight": [1, 2, 3]}))(LOGITS, TARGETS)
    weight = torch.tensor([1.0, 2.0, 3.0])
    assert torch.equal(weighted, nn.functional.cross_entropy(LOGITS, TARGETS, weight=weight))


# ------------------------------------------------------------------------------------------ focal


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, [0.2, 1.0, 3.0]])
def test_focal_loss_is_its_formula(gamma, alpha, batch):
    logits, targets = batch
    expected = []
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        p = math.exp(row[target]) / sum(math.exp(value) for value in row)
        weight = 1.0 if alpha is None else torch.tensor(alpha)[target].item()
        expected.append(-weight * (1 - p) ** gamma * math.log(p))
    found = losses.FocalLoss(gamma, alpha, "none")(logits, targets)
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    assert float(losses.FocalLoss(gamma, alpha)(logits, targets)) == pytest.approx(sum(expected) / 17)
    assert float(losses.FocalLoss(gamma, alpha, "sum")(logits, targets)) == pytest.approx(sum(expected))


def test_without_its_power_a_focal_loss_is_cross_entropy(batch):
    torch.testing.assert_close(losses.FocalLoss(gamma=0)(*batch), F.cross_entropy(*batch))


def test_torchvisions_sigmoid_focal_loss_is_another_one(batch):
    logits, targets = batch
    sigmoid = sigmoid_focal_loss(logits, F.one_hot(targets, 3).double(), alpha=-1, gamma=0, reduction="sum") / 17
    assert abs(sigmoid - losses.FocalLoss(gamma=0)(logits, targets)) > 0.1


def test_weights_given_as_a_tensor_are_copied(batch):
    alpha = torch.ones(3)
    loss = losses.FocalLoss(alpha=alpha)
    before = loss(*batch)
    alpha.zero_()
    assert loss(*batch) == before


def test_a_recipe_weighs_the_focal_loss_by_its_counts(batch):
    expected = losses.FocalLoss(1.0, losses.class_balanced_weights(COUNTS, 0.9))(*batch)
    assert create("focal", gamma=1.0, beta=0.9)(*batch) == expected
    with pytest.raises(ValueError, match="has alpha and beta"):
        create("focal", alpha=[1, 1, 1], beta=0.9)
    with pytest.raises(ValueError, match="pass counts="):
        losses.create(Recipe(loss="focal", loss_options={"beta": 0.9}))


# ------------------------------------------------------------------------------------------- ohem


@pytest.mark.parametrize(
    ("keep", "items", "count"), [(0.5, 5, 3), (0.07, 100, 7), (0.7, 10, 7), (0.01, 3, 1), (1, 4, 4)]
)
def test_so_many_of_the_hardest_count(keep, items, count):
    logits = torch.randn(items, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    targets = torch.arange(items) % 3
    each = F.cross_entropy(logits, targets, reduction="none")
    loss = losses.OHEMLoss(keep)(logits, targets)
    torch.testing.assert_close(loss, each.sort(descending=True).values[:count].mean())
    loss.backward()
    assert int((logits.grad.abs().sum(dim=1) > 0).sum()) == count


# --------------------------------------------------------------------------------- rare classes


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.99, 0.9999])
def test_class_balanced_weights_are_their_formula(beta):
    counts = [1, 2, 10, 500, 5000]
    raw = [(1 - beta) / (1 - beta**count) for count in counts]
    found = losses.class_balanced_weights(counts, beta)
    assert found.sum().item() == pytest.approx(5)
    assert found.tolist() == pytest.approx([5 * weight / sum(raw) for weight in raw], rel=1e-6)
    assert found.dtype == torch.float32


def test_class_balanced_weights_near_one_over_the_counts():
    found = losses.class_balanced_weights([1, 10, 100], 1 - 1e-9)
    assert (found[0] / found).tolist() == pytest.approx([1, 10, 100], rel=1e-4)


def test_class_balanced_loss_is_a_weighted_mean_over_items(batch):
    weights = losses.class_balanced_weights(COUNTS, 0.9)
    each = F.cross_entropy(*batch, reduction="none") * weights.double()[batch[1]]
    torch.testing.assert_close(create("class-balanced", beta=0.9)(*batch), each.mean())
    torch.testing.assert_close(create("class-balanced", beta=0.0)(*batch), F.cross_entropy(*batch))


@pytest.mark.parametrize("tau", [0.0, 1.0, 2.5])
def test_logit_adjusted_loss_is_its_formula(tau, batch):
    logits, targets = batch
    shares = torch.tensor(COUNTS, dtype=torch.float64) / sum(COUNTS)
    shifted = logits.exp() * shares**tau
    expected = -(shifted[torch.arange(17), targets] / shifted.sum(dim=1)).log().mean()
    torch.testing.assert_close(create("logit-adjusted", tau=tau)(logits, targets), expected, rtol=1e-6, atol=1e-7)


def test_logit_adjustment_leaves_only_what_the_shares_do_not_say():
    """Trained on items that say nothing, the shares are all there is to learn, and the logits stay equal."""
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    targets = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))
    create("logit-adjusted")(bias.expand(len(targets), 3), targets).backward()
    assert bias.grad.abs().max() < 1e-7
    F.cross_entropy(bias.expand(len(targets), 3), targets).backward()
    assert bias.grad.abs().max() > 0.1


# ---------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.create(Recipe(loss="hinge")), "unknown loss 'hinge'; known are cross-entropy, nll, focal"),
        (lambda: losses.takes_probabilities("hinge"), "unknown loss 'hinge'"),
        (lambda: losses.create(Recipe(loss_options={"gamma": 2})), "loss_options has gamma"),
        (lambda: losses.FocalLoss(-1), "gamma = -1 is out of range"),
        (lambda: losses.FocalLoss(float("nan")), "gamma = nan is out of range"),
        (lambda: losses.FocalLoss(alpha=[1.0, -1.0]), "alpha = .* give one weight per class, none negative"),
        (lambda: losses.FocalLoss(reduction="max"), "reduction = 'max' is unknown"),
        (lambda: losses.OHEMLoss(0), "keep = 0 is out of range"),
        (lambda: losses.OHEMLoss(1.5), "keep = 1.5 is out of range"),
        (lambda: losses.class_balanced_weights([3, 0], 0.9), "class 1 has 0 training pictures"),
        (lambda: losses.class_balanced_weights([3, 1.5], 0.9), "the whole number of pictures of each class"),
        (lambda: losses.class_balanced_weights([[3]], 0.9), r"counts have shape \(1, 1\)"),
        (lambda: losses.class_balanced_weights([3, 1], 1.0), "beta = 1.0 is out of range"),
        (lambda: losses.LogitAdjustedLoss([3, 0]), "class 1 has 0 training pictures"),
        (lambda: losses.LogitAdjustedLoss([3, 1], tau=-1), "tau = -1 is out of range"),
        (lambda: losses.FocalLoss()(LOGITS, TARGETS[:, None]), r"targets \(2, 1\) of torch.int64"),
    ],
)
def test_wrong_settings_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", [name for name, kind in losses.LOSSES.items() if kind.needs_tree])
def test_a_loss_that_reads_a_tree_may_read_the_control_instead(name):
    tree = Taxonomy.from_paths([(f"{leaf % 3}", f"leaf {leaf}") for leaf in range(9)])
    logits, targets = torch.randn(12, 9), torch.arange(12) % 9
    dealt = {}
    for seed in (0, 1):
        random = Recipe(loss=name, loss_options={"tree": "random"}, seed=seed)
        dealt[seed] = losses.create(random, taxonomy=tree)(logits, targets)
        plain = Recipe(loss=name, seed=seed)
        assert torch.equal(dealt[seed], losses.create(plain, taxonomy=tree.shuffled(seed))(logits, targets))
        assert not torch.allclose(dealt[seed], losses.create(plain, taxonomy=tree)(logits, targets))
    assert not torch.allclose(dealt[0], dealt[1])
    with pytest.raises(ValueError, match="tree = 'false' is unknown; choose one of true, random"):
        losses.create(Recipe(loss=name, loss_options={"tree": "false"}), taxonomy=tree)
