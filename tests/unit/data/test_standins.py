"""The drawings: repeatable, of the right shape, learnable but not easy, and with their taught faults."""

import numpy as np
import pytest
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clslab.data import catalog, standins
from clslab.data.images import ImageDataset
from clslab.data.splits import group_split, random_split

SETS = {
    "debris": lambda seed: standins.debris(seed=seed)["train"],
    "catsdogs": lambda seed: standins.catsdogs(seed=seed)["train"],
    "pets": lambda seed: standins.pets(seed=seed)["train"],
    "solar": lambda seed: standins.solar(seed=seed),
    "multiview": lambda seed: standins.multiview(10, 4, seed=seed),
}


def pixels(dataset: ImageDataset, side: int = 12) -> np.ndarray:
    """A tiny picture of each item, and mean and spread of its channels."""
    rows = []
    for i in range(len(dataset)):
        picture = dataset.image(i)
        full = np.asarray(picture, dtype=np.float32)[::4, ::4].reshape(-1, 3)
        small = np.asarray(picture.resize((side, side), Image.Resampling.BOX), dtype=np.float32)
        rows.append(np.concatenate([small.ravel(), full.mean(0), full.std(0)]))
    return np.stack(rows)


def linear() -> LogisticRegression:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=1000))


@pytest.mark.parametrize("name", SETS)
def test_the_seed_decides_every_pixel_in_any_order(name: str) -> None:
    first, again, other = SETS[name](3), SETS[name](3), SETS[name](4)
    again.image(1)
    assert np.array_equal(np.asarray(first.image(7)), np.asarray(again.image(7)))
    assert not np.array_equal(np.asarray(first.image(7)), np.asarray(other.image(7)))
    assert first.ids == again.ids
    assert len(set(first.ids)) == len(first)


@pytest.mark.parametrize("name", SETS)
def test_no_two_pictures_are_the_same(name: str) -> None:
    dataset = SETS[name](0)
    seen = {dataset.image(i).tobytes() for i in range(30)}
    assert len(seen) == 30


@pytest.mark.parametrize("name", ["debris", "catsdogs", "pets", "solar"])
def test_classes_are_those_of_the_real_set(name: str) -> None:
    assert SETS[name](0).classes == catalog.card(name).classes


def test_splits_of_one_stand_in_share_no_picture() -> None:
    for parts in (standins.debris(), standins.catsdogs(), standins.pets()):
        ids = [name for part in parts.values() for name in part.ids]
        assert len(set(ids)) == len(ids)
        first = [part.image(0).tobytes() for part in parts.values()]
        assert len(set(first)) == len(first)


def test_pets_have_the_sizes_of_the_real_set() -> None:
    parts = standins.pets()
    assert {split: len(part) for split, part in parts.items()} == {"train": 2944, "val": 736, "test": 3669}


# ---------------------------------------------------------------- learnable, not easy


def test_debris_is_learnable_and_has_its_colour_shortcut() -> None:
    parts = standins.debris()
    train, val = parts["train"].subset(range(0, 952, 4)), parts["val"].subset(range(0, 244, 2))
    majority = 1 - val.targets.mean()
    colours = pixels(train)[:, -6:], pixels(val)[:, -6:]
    accuracy = linear().fit(colours[0], train.targets).score(colours[1], val.targets)
    assert majority + 0.05 < accuracy < 0.93


def test_cats_and_dogs_are_above_chance_and_far_from_solved() -> None:
    parts = standins.catsdogs()
    train, val = parts["train"].subset(range(0, 1500, 4)), parts["val"].subset(range(0, 400, 2))
    accuracy = linear().fit(pixels(train), train.targets).score(pixels(val), val.targets)
    assert 0.53 < accuracy < 0.85


def test_a_centre_crop_loses_most_heads() -> None:
    rng = np.random.default_rng(0)
    beheaded = 0
    for _ in range(400):
        width, height = (224, int(rng.integers(250, 370))) if rng.random() < 0.4 else (int(rng.integers(250, 400)), 224)
        x, y, size = standins._head_place(rng, height, width)
        left, top = (width - 224) / 2, (height - 224) / 2
        beheaded += x - size < left or x + size > left + 224 or y - 1.4 * size < top
    assert 0.3 < beheaded / 400 < 0.95


def test_pictures_of_animals_vary_in_shape() -> None:
    val = standins.catsdogs()["val"]
    sizes = {val.image(i).size for i in range(12)}
    assert len(sizes) > 6
    assert all(min(size) == 224 for size in sizes)


def test_solar_leaks_through_a_random_split() -> None:
    cells = standins.solar()
    # Ten cells of each of the 43 whole modules.
    cells = cells.subset([i for i in range(43 * 60) if i % 6 == 0])
    features = pixels(cells, side=6)
    scores = {"random": [], "grouped": []}
    for seed in range(4):
        splits = {
            "random": random_split(cells.targets, [0.7, 0.3], seed=seed),
            "grouped": group_split(cells.groups, [0.7, 0.3], stratify=cells.targets, seed=seed),
        }
        for name, (train, val) in splits.items():
            forest = RandomForestClassifier(100, min_samples_leaf=3, class_weight="balanced", random_state=0)
            forest.fit(features[train], cells.targets[train])
            scores[name].append(balanced_accuracy_score(cells.targets[val], forest.predict(features[val])))
    assert np.mean(scores["random"]) > np.mean(scores["grouped"]) + 0.02
    assert 0.5 < np.mean(scores["grouped"]) < 0.97


def test_solar_has_the_columns_and_the_shares_of_the_real_set() -> None:
    cells = standins.solar()
    assert (len(cells), len(set(cells.groups))) == (2624, 44)
    assert set(np.round(cells.extra["probability"], 3)) == {0.0, 0.333, 0.667, 1.0}
    assert np.array_equal(cells.targets, cells.extra["probability"] > 0.5)
    assert 0.2 < cells.targets.mean() < 0.45
    for module in range(44):
        assert len(set(cells.extra["cell"][cells.groups == module])) == 1


# ---------------------------------------------------------------- objects and views


def test_multiview_is_laid_out_object_by_object() -> None:
    dataset = standins.multiview(6, 3, seed=1, image_size=32)
    assert dataset.groups.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]
    assert dataset.targets.tolist() == [g % 2 for g in dataset.groups]
    assert dataset.image(0).size == (32, 32)
    assert dataset.ids[4] == "object00001/view001"


def test_more_views_change_no_earlier_one() -> None:
    few, many = standins.multiview(3, 2, seed=0), standins.multiview(5, 4, seed=0)
    assert np.array_equal(np.asarray(few.image(3)), np.asarray(many.image(5)))


def test_views_of_one_object_are_alike() -> None:
    dataset = standins.multiview(30, 2, seed=0)
    features = pixels(dataset)
    within = np.linalg.norm(features[::2] - features[1::2], axis=1).mean()
    between = np.linalg.norm(features[::2] - np.roll(features[1::2], 2, axis=0), axis=1).mean()
    assert within < 0.6 * between


def test_views_leak_and_objects_beat_views_at_one_budget() -> None:
    unseen = standins.multiview(300, 1, seed=100, hard=0.2)
    tried = pixels(unseen)
    scores: dict[str, list[float]] = {"random": [], "grouped": [], "views": [], "objects": []}
    for seed in range(2):
        views = standins.multiview(30, 10, seed=seed, hard=0.2)
        objects = standins.multiview(300, 1, seed=50 + seed, hard=0.2)
        features = pixels(views)
        for name, (train, val) in {
            "random": random_split(views.targets, [0.7, 0.3], seed=seed),
            "grouped": group_split(views.groups, [0.7, 0.3], stratify=views.targets, seed=seed),
        }.items():
            forest = RandomForestClassifier(100, random_state=0).fit(features[train], views.targets[train])
            scores[name].append(forest.score(features[val], views.targets[val]))
        for name, x, y in (("views", features, views.targets), ("objects", pixels(objects), objects.targets)):
            scores[name].append(RandomForestClassifier(100, random_state=0).fit(x, y).score(tried, unseen.targets))
    mean = {name: np.mean(values) for name, values in scores.items()}
    assert mean["random"] > mean["grouped"] + 0.05
    assert mean["objects"] > mean["views"] + 0.02
    assert 0.55 < mean["grouped"] < 0.97


def test_hard_overlaps_more_than_easy() -> None:
    accuracy = []
    for hard in (0.0, 1.0):
        train, val = (standins.multiview(200, 1, seed=seed, hard=hard) for seed in (0, 1))
        forest = RandomForestClassifier(100, random_state=0).fit(pixels(train), train.targets)
        accuracy.append(forest.score(pixels(val), val.targets))
    assert accuracy[0] > accuracy[1] + 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 3, {}), "1 objects, 3 views"),
        ((2, 0, {}), "2 objects, 0 views"),
        ((2, 1, {"image_size": 4}), "4 pixels"),
        ((2, 1, {"hard": 1.5}), "hard is 1.5"),
    ],
)
def test_numbers_out_of_range(arguments: tuple, message: str) -> None:
    objects, views, options = arguments
    with pytest.raises(ValueError, match=message):
        standins.multiview(objects, views, seed=0, **options)
