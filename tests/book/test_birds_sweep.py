"""The sweep of the birds: its rows can be trained as they stand, and those that are compared hear as many clips."""

import pytest
from books import ROOT

from clslab import audio, levels, sound_route
from clslab.commands.sweep import SweepFile
from clslab.data import birds
from clslab.models import transfer
from clslab.models.multilayer import MultilayerNet

FILE = SweepFile.read(ROOT / "book" / "sweeps" / "birds.toml")
BORROWED = SweepFile.read(ROOT / "book" / "sweeps" / "birds_borrowed.toml")
THREE = ("flat", "updated", "fixed")


@pytest.mark.parametrize("target", ["species", "three-genera", "genera", "family"])
def test_every_target_has_the_three_rows_of_the_source(target):
    rows = [FILE.recipes[f"birds/{target}/{kind}"] for kind in THREE]
    assert [row.hierarchy["mode"] for row in rows] == ["flat", "two-stage", "two-stage"]
    assert [row.hierarchy.get("shallow") for row in rows] == [None, "updated", "fixed"]


@pytest.mark.parametrize("file", [FILE, BORROWED])
def test_every_row_has_five_seeds(file):
    assert set(file.seeds.values()) == {(0, 1, 2, 3, 4)}


KINDS = {"flat", "flat-wide", "multi", "gru", "attention"}
LONG = {"flat-long", "updated-long", "fixed-long", "updated-bands-long", "fixed-bands-long"}
LARGE = {f"{kind}-large" for kind in ("flat", "multi", "gru", "attention")}
WITH_A_TREE = {"updated", "fixed", "fixed-conv", "fixed-coral", "updated-bands", "fixed-bands"}


def test_every_target_has_every_kind_of_network_and_orders_those_without_a_tree():
    kinds: dict[str, set[str]] = {}
    for name in FILE.recipes:
        _, target, kind = name.split("/")
        kinds.setdefault(target, set()).add(kind)
    assert kinds["species"] - LONG - LARGE - {"joint-bands"} == kinds["family"] == KINDS | WITH_A_TREE | {"joint"}
    assert kinds["species"] >= LONG | LARGE
    assert kinds["genera"] == KINDS | WITH_A_TREE
    assert {kind for kind in kinds["three-genera"] if not kind.startswith("mobilenet-")} == KINDS | WITH_A_TREE
    assert kinds["orders"] == KINDS
    assert birds.taxonomy("orders").levels == 1


@pytest.mark.parametrize("target", ["species", "three-genera", "genera", "family", "orders"])
def test_the_borrowed_network_differs_from_the_random_one_in_its_weights_alone(target):
    rows = {name: row.to_dict() for name, row in BORROWED.recipes.items() if f"/{target}/" in name}
    for suffix in ("", "-long") if target == "species" else ("",):
        borrowed, own = (rows[f"birds/{target}/{kind}{suffix}"] for kind in ("pretrained", "scratch"))
        assert {field for field in own if own[field] != borrowed[field]} == {"pretrained", "train_part"}
    assert FILE.recipes[f"birds/{target}/flat"].variant == borrowed["variant"]
    assert FILE.recipes[f"birds/{target}/flat"].folds == borrowed["folds"]
    assert borrowed["model"] in transfer.BACKBONES
    for recipe in BORROWED.recipes.values():
        sound_route.check(recipe)


def test_on_the_large_picture_the_shortest_windows_touch_and_the_encoders_see_four_times_the_columns():
    small, large = (audio.transform(FILE.recipes[f"birds/species/multi{size}"].spectrogram) for size in ("", "-large"))
    assert small.n_ffts == large.n_ffts
    assert small.hop_length == 4 * min(small.n_ffts)
    assert large.hop_length == min(large.n_ffts)
    for kind in ("flat", "gru", "attention"):
        assert audio.transform(FILE.recipes[f"birds/species/{kind}-large"].spectrogram).hop_length == large.hop_length


@pytest.mark.parametrize("name", FILE.recipes)
def test_a_row_passes_the_check_of_its_route(name):
    recipe = FILE.recipes[name]
    sound_route.check(recipe)
    assert recipe.data == "birds"
    assert recipe.variant in birds.VARIANTS
    # Core has too few test recordings, and the families of broad one recording of most species.
    assert recipe.folds == (0 if recipe.variant in ("broad", "orders") or "/given-split/" in name else 5)
    channels = audio.transform(recipe.spectrogram).channels
    tree = levels.tree_of(birds.taxonomy(recipe.variant), recipe)
    options = {key: value for key, value in recipe.hierarchy.items() if key in levels._OF_THE_NETWORK}
    made = MultilayerNet(recipe.model, tree, in_channels=channels, **options, **recipe.model_options)
    levels.loss_of(recipe, tree.levels)
    assert len(made.heads) == tree.levels


@pytest.mark.parametrize("name", FILE.recipes)
def test_rows_that_are_compared_differ_in_what_is_compared_alone(name):
    recipe = FILE.recipes[name]
    kind = name.split("/")[2]
    prefix = "mobilenet-" if kind.startswith("mobilenet-") else ""
    suffix = next((one for one in ("-long", "-large") if kind.endswith(one)), "")
    flat = FILE.recipes["/".join([*name.split("/")[:2], f"{prefix}flat{suffix}"])]
    # The first stage takes its epochs from those of the second.
    assert recipe.epochs + recipe.hierarchy.get("first_epochs", 0) == flat.epochs
    own, other = recipe.to_dict(), flat.to_dict()
    differing = {field for field in own if own[field] != other[field]}
    allowed = {"hierarchy", "epochs"}
    allowed |= {"multi": {"spectrogram"}, "flat-wide": {"model_options"}}.get(kind.removesuffix(suffix), set())
    assert differing <= allowed
    if "-bands" in kind:
        without = FILE.recipes[name.replace("-bands", "")].hierarchy
        assert recipe.hierarchy == without | {"bands": 8}
