"""A model card: what a trained classifier is for, what it was tested on, and where it fails.

The form follows Mitchell and others, *Model Cards for Model Reporting* (arXiv:1810.03993). Numbers come from the
recorded runs, so that nobody has to type them; words come from the person who answers for the model, and a card without
them is refused.

Taught in chapter 16.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from clslab import stats
from clslab.metrics import calibration_error_of
from clslab.records import Run, is_stand_in, results_table

WORDS: dict[str, str] = {
    "intended use": "who is to use it, on which pictures, for which decision",
    "out of scope": "what it must not be used for, and what would happen",
    "factors": "light, place, camera, kinds of objects: what was varied, and what was not",
    "data": "how the pictures were taken and by what rule they were divided",
    "ethics": "whose pictures, who agreed, whom a mistake would hurt",
    "caveats": "what else may explain the result, and what should be tried next",
}
"""The sections that a person has to write, each with its question."""

_FEWEST_WORDS = 5


def model_card(title: str, runs: Sequence[Run], words: Mapping[str, str], *, baseline: Sequence[Run] = ()) -> str:
    """The card as Markdown.

    Args:
        title: of the model.
        runs: of one recipe, one per seed, with the test split scored.
        words: a text for every name in `WORDS`.
        baseline: runs of the recipe that it was compared with, for a second row of the table.

    Returns:
        Sections with what the records say (recipe, training, data, scores with intervals over seeds and objects, recall
        of every class, calibration) and the words.

    Raises:
        ValueError: if a section is missing, unknown or shorter than five words, or a run has not scored its test split.

    Taught in chapter 16.
    """
    _check_words(words)
    if not runs or any("test" not in run.predictions for run in [*runs, *baseline]):
        raise ValueError("a model card needs runs that have scored their test split; see clslab.runs.test_once")
    parts = [
        f"# {title}",
        "## Model and training\n\n" + "\n".join(f"- {line}" for line in _details(runs)),
        *(_section(name, words) for name in ("intended use", "out of scope", "factors", "data")),
        "## Results\n\n" + "\n".join(_results(runs, baseline)),
        *(_section(name, words) for name in ("ethics", "caveats")),
    ]
    return "\n\n".join(parts) + "\n"


def word_count(text: str) -> int:
    """Number of words; of Chinese and Japanese, which are written without spaces, of characters.

    >>> word_count("on drawn objects"), word_count("画出来的物体")
    (3, 6)
    """
    return len(
        re.findall(
            r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff][^\s\u3040-\u30ff\u3400-\u9fff]*", text
        )
    )


def _section(name: str, words: Mapping[str, str]) -> str:
    return f"## {name.capitalize()}\n\n{words[name].strip()}"


def _check_words(words: Mapping[str, str]) -> None:
    unknown = sorted(set(words) - set(WORDS))
    if unknown:
        raise ValueError(f"there is no section {', '.join(unknown)}; the sections are {', '.join(WORDS)}")
    for name, question in WORDS.items():
        if word_count(str(words.get(name, ""))) < _FEWEST_WORDS:
            raise ValueError(f"the section {name!r} is missing or too short; say {question}")


def _details(runs: Sequence[Run]) -> list[str]:
    first = runs[0]
    recipe = first.recipe
    tested = f"{first.sizes['test']:,} pictures{_in_groups(first)}"
    told = [
        f"recipe: `{recipe.model}`, trained part `{recipe.train_part}`, {recipe.image_size} pixels, "
        f"key `{recipe.key()}`",
        f"trained parameters: {first.parameters_trained:,} of {first.parameters_total:,}",
        f"trainings: {len(runs)}, seeds {', '.join(str(run.seed) for run in runs)}; "
        f"{np.mean([run.seconds_fit for run in runs]):.0f} s each on {first.machine.get('name', 'an unknown machine')}",
        f"classes: {', '.join(first.classes)}",
        f"data: `{recipe.data}`, source {first.source}, fingerprint `{first.fingerprint[:12]}`; "
        f"{first.sizes['train']:,} pictures to train on, {first.sizes['val']:,} to choose on",
        f"tested on {tested}; each of these records opened the test split once",
        f"code: {first.code}",
    ]
    if is_stand_in(first):
        told.insert(0, "**on generated pictures: none of these numbers is about real ones**")
    return told


def _in_groups(run: Run) -> str:
    """What a record says about the groups of its test pictures."""
    said = run.predictions["test"].groups
    if said is None:
        return ", of which nobody said which show the same thing"
    count = len(set(said.tolist()))
    if count == len(said):
        return " in as many groups, so that nobody said which show the same thing"
    apart = "" if run.recipe.variant == "random-split" else ", none of which is in training or validation"
    return f" in {count:,} groups (objects, recordings){apart}"


def _results(runs: Sequence[Run], baseline: Sequence[Run]) -> list[str]:
    named = {"this model": runs} | ({"baseline": baseline} if baseline else {})
    lines = ["| | accuracy (%) | 95 % interval | balanced (%) | calibration error (points) |", "|---|---|---|---|---|"]
    for row in results_table(named).to_dict("records"):
        of = named[row["name"]]
        balanced = np.mean([run.metrics["test"]["balanced_accuracy"] for run in of])
        answers = [run.predictions["test"] for run in of]
        error = np.mean([calibration_error_of(answer.confidence, answer.correct) for answer in answers])
        lines.append(
            f"| {row['name']} | {100 * row['mean']:.1f} | {100 * row['low']:.1f} to {100 * row['high']:.1f} "
            f"| {100 * balanced:.1f} | {100 * error:.1f} |"
        )
    lines += ["", "| class | pictures | found (%) | 95 % interval |", "|---|---|---|---|"]
    for label, name in enumerate(runs[0].classes):
        count, (mean, low, high) = _recall(runs, label)
        lines.append(f"| {name} | {count} | {100 * mean:.1f} | {100 * low:.1f} to {100 * high:.1f} |")
    return [*lines, "", "Intervals over trainings and test objects (bootstrap)."]


def _recall(runs: Sequence[Run], label: int) -> tuple[int, tuple[float, float, float]]:
    """Pictures of a class, and the share of them that is found, with its interval."""
    said = runs[0].predictions["test"]
    rows = np.flatnonzero(said.targets == label)
    correct = np.stack([run.predictions["test"].correct[rows] for run in runs])
    return len(rows), stats.bootstrap(correct, groups=None if said.groups is None else said.groups[rows])
