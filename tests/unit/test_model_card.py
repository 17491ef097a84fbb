import dataclasses

import numpy as np
import pytest

from clslab.model_card import WORDS, model_card
from clslab.recipe import Recipe
from clslab.records import Predictions, Run

TEXT = {name: f"five or more words about {name}" for name in WORDS}


def run(seed: int, right: list[int], **changes: object) -> Run:
    """Of each of two classes ten pictures of five objects; `right` says how many of each are found."""
    targets = np.repeat([0, 1], 10)
    hit = np.concatenate([np.arange(10) < right[0], np.arange(10) < right[1]])
    said = np.full((20, 2), 0.2)
    said[np.arange(20), np.where(hit, targets, 1 - targets)] = 0.8
    made = Run(
        Recipe(data="own", seed=seed),
        "local",
        "0123456789abcdef",
        ("cup", "bowl"),
        {"train": 60, "val": 20, "test": 20},
    )
    made.parameters_trained, made.parameters_total, made.seconds_fit = 2562, 3_400_000, 12.0
    made.machine, made.code = {"name": "a processor"}, "1.0"
    made.record("test", Predictions.of(said, targets, [str(i) for i in range(20)], np.arange(20) // 2))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def rows(card: str) -> dict[str, list[str]]:
    table = [line.strip("|").split("|") for line in card.splitlines() if line.startswith("| ")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in table}


def test_numbers_come_from_the_records() -> None:
    card = model_card("Cups", [run(0, [10, 6]), run(1, [8, 6])], TEXT, baseline=[run(0, [5, 5])])
    found = rows(card)
    assert found["this model"][0] == "75.0"
    assert found["this model"][2] == "75.0"
    assert found["baseline"][0] == "50.0"
    assert found["cup"][:2] == ["10", "90.0"]
    assert found["bowl"][:2] == ["10", "60.0"]
    assert found["this model"][3] == "5.0"  # 80 % sure, 75 % right
    low, high = map(float, found["cup"][2].split(" to "))
    assert low < 90 <= high
    assert "2,562 of 3,400,000" in card
    assert "20 pictures in 10 groups (objects, recordings), none of which is in training or validation" in card
    assert "seeds 0, 1" in card
    assert "`0123456789ab`" in card


def test_the_words_stand_in_their_sections_in_order() -> None:
    card = model_card("Cups", [run(0, [9, 9])], TEXT)
    headings = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert headings == [
        "Model and training", "Intended use", "Out of scope", "Factors", "Data", "Results", "Ethics", "Caveats",
    ]  # fmt: skip
    assert all(text in card for text in TEXT.values())


def test_pictures_of_which_nobody_said_what_they_show() -> None:
    alone, unknown = run(0, [9, 9]), run(0, [9, 9])
    for made, groups in ((alone, np.arange(20)), (unknown, None)):
        made.predictions["test"] = dataclasses.replace(made.predictions["test"], groups=groups)
        assert "nobody said which show the same thing" in model_card("Cups", [made], TEXT)


def test_a_card_in_chinese_has_words() -> None:
    model_card("杯子", [run(0, [9, 9])], dict.fromkeys(WORDS, "只用于课堂练习，不作他用。"))
    with pytest.raises(ValueError, match="missing or too short"):
        model_card("杯子", [run(0, [9, 9])], dict.fromkeys(WORDS, "练习。"))


def test_drawings_are_named_first() -> None:
    card = model_card("Cups", [run(0, [9, 9], source="stand-in")], TEXT)
    assert card.split("## Model and training\n\n")[1].startswith("- **on generated pictures")


def test_a_random_split_is_not_said_to_be_new() -> None:
    card = model_card("Cups", [run(0, [9, 9], recipe=Recipe(data="own", variant="random-split"))], TEXT)
    assert "in 10 groups (objects, recordings); each of these records" in card


@pytest.mark.parametrize("lacking", sorted(WORDS))
def test_a_card_without_its_words_is_refused(lacking: str) -> None:
    with pytest.raises(ValueError, match=f"section {lacking!r} is missing or too short; say "):
        model_card("Cups", [run(0, [9, 9])], TEXT | {lacking: "to be done"})
    with pytest.raises(ValueError, match=lacking):
        model_card("Cups", [run(0, [9, 9])], {name: text for name, text in TEXT.items() if name != lacking})


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no section praise"):
        model_card("Cups", [run(0, [9, 9])], TEXT | {"praise": "the best model that there is"})


def test_a_card_needs_a_tested_run() -> None:
    untested = run(0, [9, 9])
    del untested.predictions["test"]
    for given in ([], [untested]):
        with pytest.raises(ValueError, match="needs runs that have scored their test split"):
            model_card("Cups", given, TEXT)
