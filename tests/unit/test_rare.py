"""A species that is rare: arithmetic on made-up features, the answers in a record, songs whose truth is known."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid
from torch import nn

from clslab import rare, runs, sound_route
from clslab.data import birds
from clslab.device import Machine
from clslab.hierarchy import back_off
from clslab.models.multilayer import MultilayerNet
from clslab.recipe import Recipe
from clslab.records import Run
from clslab.taxonomy import Taxonomy
from clslab.tree_records import levels_table

TREE = Taxonomy.from_paths([("fish", "ray"), ("fish", "shark"), ("tree", "oak"), ("tree", "elm")])
CPU = Machine("cpu", threads=1, name="test")


@pytest.fixture
def clips():
    """Features [48, 5] of four classes of six recordings with two clips each, targets and recordings."""
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(4), 12)
    recordings = np.repeat(np.arange(24), 2)
    centres = rng.normal(size=(4, 5))
    return centres[targets] + rng.normal(size=(48, 5)) * 0.8, targets, recordings


def test_the_nearest_mean_is_that_of_scikit_learn(clips):
    features, targets, _ = clips
    reference = NearestCentroid().fit(features[::2], targets[::2])
    means = rare.class_means(features[::2], targets[::2], 4)
    assert np.allclose(means, reference.centroids_)
    for scale in (0.01, 1.0, 30.0):
        said = rare.nearest(features, means, scale=scale)
        assert np.allclose(said.sum(axis=1), 1)
        assert np.array_equal(said.argmax(axis=1), reference.predict(features))


def test_a_class_without_a_clip_has_no_mean_and_is_never_named(clips):
    features, targets, _ = clips
    means = rare.class_means(features[:36], targets[:36], 4)
    assert np.isnan(means[3]).all()
    assert (rare.nearest(features, means)[:, 3] == 0).all()


def test_the_scale_is_the_one_of_the_highest_likelihood(clips):
    features, targets, recordings = clips
    found = rare.sharpness(features, targets, recordings, 4)

    def loss(scale):
        total = 0.0
        for recording in range(24):
            here = recordings == recording
            means = rare.class_means(features[~here], targets[~here], 4)
            said = rare.nearest(features[here], means, scale=scale)
            total -= np.log(said[np.arange(2), targets[here]]).sum()
        return total

    assert loss(found) < min(loss(found * 1.3), loss(found / 1.3))


def of_class_three(clips, **changes):
    features, targets, recordings = clips
    common, own = targets != 3, targets == 3
    options = {"rare_class": 3, "num_classes": 4, "shots": 1} | changes
    return rare.with_few_recordings((features[common], targets[common]), (features[own], recordings[own]), **options)


def test_a_clip_is_never_answered_with_the_help_of_its_own_recording(clips):
    features, targets, recordings = clips
    # Each recording of the rare class lies somewhere else, far from everything: only its own clips are near.
    features = features.copy()
    own = targets == 3
    features[own] = 1000.0 * np.eye(6)[np.repeat(np.arange(6), 2)][:, :5] + 1e-3
    features[own] *= np.repeat([1, 1, 1, 1, 1, 3], 2)[:, None]
    for shots in (1, 2, 5):
        said = of_class_three((features, targets, recordings), shots=shots)
        # The mean of others is some thousand away, the common classes one thousand: no clip is found.
        assert (said[:10].argmax(axis=1) != 3).all()


def test_all_other_recordings_make_the_mean_of_the_rest(clips):
    features, targets, recordings = clips
    said = of_class_three(clips, shots=5)
    for recording in range(18, 24):
        here, rest = recordings == recording, (targets == 3) & (recordings != recording)
        means = rare.class_means(features[targets != 3], targets[targets != 3], 4)
        means[3] = features[rest].mean(axis=0)
        assert np.allclose(said[here[36:]], rare.nearest(features[here], means))


def test_draws_depend_on_the_seed_and_more_recordings_help(clips):
    assert np.array_equal(of_class_three(clips, seed=1), of_class_three(clips, seed=1))
    assert not np.array_equal(of_class_three(clips, seed=1), of_class_three(clips, seed=2))
    right = {
        shots: np.mean([of_class_three(clips, shots=shots, seed=seed).argmax(axis=1) == 3 for seed in range(20)])
        for shots in (1, 5)
    }
    assert right[5] > right[1]


def test_what_cannot_be_asked_is_said(clips):
    features, targets, recordings = clips
    with pytest.raises(ValueError, match="shots = 6 with 6 recordings of class 3; give 1 to 5"):
        of_class_three(clips, shots=6)
    with pytest.raises(ValueError, match="class 3 plays the rare one, and is among the common clips"):
        rare.with_few_recordings((features, targets), (features, recordings), rare_class=3, num_classes=4, shots=1)
    with pytest.raises(ValueError, match="47 targets for 48 rows"):
        rare.class_means(features, targets[1:], 4)
    with pytest.raises(ValueError, match="targets run from 0 to 3; give classes from 0 to 2"):
        rare.class_means(features, targets, 3)
    with pytest.raises(ValueError, match="features have 5 numbers and means 4"):
        rare.nearest(features, np.zeros((4, 4)))
    with pytest.raises(ValueError, match="scale = 0"):
        rare.nearest(features, np.zeros((4, 5)), scale=0)
    with pytest.raises(ValueError, match="no class has a mean"):
        rare.nearest(features, np.full((4, 5), np.nan))
    with pytest.raises(ValueError, match=r"features have shape \(5,\)"):
        rare.nearest(features[0], np.zeros((4, 5)))
    with pytest.raises(ValueError, match="no class has clips of two recordings"):
        rare.sharpness(features, targets, targets, 4)
    with pytest.raises(ValueError, match="class 4 of probabilities"):
        rare.never_heard(np.eye(4), 4)
    with pytest.raises(ValueError, match="no linear layer"):
        rare.features_before_head(nn.Sequential(nn.Flatten()), [])


def test_a_relative_is_another_leaf_of_the_node():
    assert [rare.relatives(TREE, leaf, 0) for leaf in range(4)] == [1, 1, 1, 1]
    assert rare.relatives(TREE, 0, 1) == 0


def test_features_are_what_the_head_is_given():
    torch.manual_seed(0)
    network = MultilayerNet("resnet9", TREE, in_channels=1, width=4).train()
    pictures = torch.randn(6, 1, 32, 32)
    found = rare.features_before_head(network, [(pictures[:4], None), (pictures[4:], None)])
    assert network.training
    network.eval()
    with torch.no_grad():
        assert torch.allclose(network.heads[-1](torch.from_numpy(found).float()), network(pictures)[-1], atol=1e-5)


# ---------------------------------------------------------------------------- in a recipe and its record


BASE = Recipe(
    data="birds",
    variant="core",
    spectrogram="mel-tiny",
    model="resnet9",
    model_options={"width": 4},
    train_part="scratch",
    pretrained=False,
    augment="roll-mask",
    epochs=2,
    batch_size=16,
    lr=0.005,
    folds=5,
    rare={"shots": [1, 2]},
    precision="fp32",
    choose_epoch=False,
)


@pytest.fixture(scope="module")
def run(shelf, empty_machine):
    """One run on songs; ten networks."""
    return Run.from_json(runs.execute(BASE, shelf=shelf, machine=CPU).to_json())


def test_a_record_keeps_the_answers_for_each_number_of_recordings(run):
    assert set(run.predictions) == {"val", "val-0-shots", "val-1-shots", "val-2-shots"}
    for said in run.predictions.values():
        assert len(set(said.ids)) == len(said.targets) == 100
        assert np.allclose(said.probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(run.predictions["val"].probabilities, run.predictions["val-1-shots"].probabilities)
    assert run.opened_test == 1
    assert {epoch["fold"] for epoch in run.history} == set(range(10))
    assert set(run.notes["common"]) == {"0", "1", "2"}
    assert run.notes["common"]["0"]["called_rare"] == 0


def test_a_species_that_was_never_heard_is_never_named(run):
    said = rare.shown(run, 0).predictions["val"]
    assert (said.own == 0).all()
    assert not said.correct.any()
    # A species without a relative in its family cannot have its family named either.
    tree = birds.taxonomy("core")
    lonely = np.array([rare.relatives(tree, leaf, 0) == 0 for leaf in said.targets])
    assert lonely.any()
    assert not (tree.coarsen(said.predicted, 0) == tree.coarsen(said.targets, 0))[lonely].any()


def test_on_songs_from_a_tree_a_recording_beats_guessing_and_tables_read_the_answers(run):
    tree = birds.taxonomy("core")
    tables = {shots: levels_table({"x": [rare.shown(run, shots)]}, tree, split="val") for shots in (0, 1, 2)}
    right = {shots: table.set_index("quantity")["mean"] for shots, table in tables.items()}
    assert right[1][2] > 0.3  # one of ten by guessing
    assert right[2][0] >= right[2][1] >= right[2][2] > 0.3
    assert right[0][2] == 0
    answered = back_off(rare.shown(run, 2).predictions["val"].probabilities, tree, threshold=0.6)
    assert set(np.unique(answered.level)) <= {-1, 0, 1, 2}


def test_shown_says_what_there_is(run):
    with pytest.raises(ValueError, match="no answers with 5 recordings shown, but with 0, 1, 2"):
        rare.shown(run, 5)


def test_a_flat_network_has_no_head_for_the_family(run):
    with pytest.raises(
        ValueError,
        match="no answers of a head for level 0, but none of any: its recipe has no rare, or its network one head",
    ):
        rare.said_by_head(run, 0)


def test_heads_for_genus_and_family_answer_for_a_species_that_they_never_heard(shelf, empty_machine):
    networks, before_head = [], rare.features_before_head

    def kept(network, shown):
        networks.append(network)
        return before_head(network, shown)

    empty_machine.setattr(rare, "features_before_head", kept)
    recipe = BASE.replace(hierarchy={"mode": "joint"}, rare={"shots": [1]})
    run = Run.from_json(runs.execute(recipe, shelf=shelf, machine=CPU).to_json())
    empty_machine.setattr(rare, "features_before_head", before_head)
    tree = birds.taxonomy("core")
    leaves = rare.shown(run, 0).predictions["val"]
    everything = shelf.sounds(shelf.splits(recipe).train, "all", recipe.spectrogram)
    pictures = sound_route.in_memory(everything, recipe, of_levels=False)[0]
    assert len(networks) == 10
    for level in (0, 1):
        said = rare.said_by_head(run, level)
        assert (said.ids, said.groups.tolist()) == (leaves.ids, leaves.groups.tolist())
        assert np.array_equal(said.targets, tree.coarsen(leaves.targets, level))
        for leaf, network in enumerate(networks):  # each answers for the clips of the species that it never heard
            with torch.no_grad():
                wanted = network.eval()(pictures[leaves.targets == leaf])[level].softmax(dim=1)
            assert np.allclose(said.probabilities[leaves.targets == leaf], wanted.numpy(), atol=1e-5)
    with pytest.raises(ValueError, match="no answers of a head for level 2, but of levels 0, 1"):
        rare.said_by_head(run, 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rare": {"shots": [2, 1]}}, r"rare.shots = \[2, 1\]; give rising numbers"),
        ({"rare": {"shots": []}}, "give rising numbers"),
        ({"rare": {"shots": 3}}, "give rising numbers"),
        ({"rare": {"shots": [True]}}, "give rising numbers"),
        ({"rare": {"shots": [1], "metric": "cosine"}}, "rare has metric; it knows shots"),
        ({"folds": 0}, "set folds"),
    ],
)
def test_a_recipe_that_makes_no_sense(changes, words):
    with pytest.raises(ValueError, match=words):
        sound_route.check(BASE.replace(**changes))


def test_pictures_have_no_rare_route(shelf, empty_machine):
    with pytest.raises(ValueError, match="is for sounds, and debris holds pictures"):
        runs.execute(Recipe(rare={"shots": [1]}), shelf=shelf, machine=CPU)
