"""Recorded runs: what one run leaves behind, how it is stored, and the tables made from many.

A record is one JSON file per run, `NAME/seed-S.json`, readable but for the predictions per item, which are compressed.
Every table and interval of the book is computed from such files. This module loads no torch.

Taught in chapter 3.
"""

from __future__ import annotations

import base64
import json
import os
import re
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import ttest_ind, ttest_rel

from clslab import metrics, stats
from clslab.recipe import Recipe

SCHEMA = 1
STAND_IN = "stand-in"

_SINGLE_PRECISION_NUMBERS = 200_000  # above this many probabilities a record keeps 16 bits of each
_MANY_CLASSES = 20  # above this many classes a record keeps three numbers per item instead of a row

Split = Literal["val", "test"]

SINGLE_VIEW = "-single-view"
"""What is appended to the name of a split where a run with test-time augmentation also keeps its plain answers."""


class MixedSourcesError(ValueError):
    """Runs on drawn stand-ins and runs on real data were about to share a table or a folder."""


@dataclass(frozen=True)
class Predictions:
    """What a trained model said about every item of one split.

    With up to 20 classes a record keeps every probability. With more it would be megabytes long (10,000 items of 100
    classes: 4 MB), so it keeps three numbers per item: `confidence`, `own` and `place`. Everything but the scores of
    the other classes can be computed from them. They are kept in 16 bits: a probability below 3e-8 comes back as 0. The
    scores of a run are taken before that.

    Attributes:
        probabilities: [N, C] float, rows that sum to 1. Of a record of more than 20 classes it is [N, 0].
        targets: [N] true classes.
        predicted: [N] the class of the highest probability, taken before any rounding.
        ids: a name per item, the same in every run on the same split.
        groups: [N] object, block or recording of each item; None where items stand alone.
        confidence: [N] probability of the predicted class.
        own: [N] probability of the true class.
        place: [N] number of classes that are more probable than the true one: 0 where it is predicted, below k where it
            is among the first k.
    """

    probabilities: NDArray[Any]
    targets: NDArray[np.int64]
    predicted: NDArray[np.int64]
    ids: tuple[str, ...]
    groups: NDArray[Any] | None
    confidence: NDArray[Any]
    own: NDArray[Any]
    place: NDArray[np.int64]

    @classmethod
    def of(cls, probabilities: ArrayLike, targets: ArrayLike, ids: Sequence[str], groups: Any = None) -> Predictions:
        """Predictions from probabilities [N, C]; lengths are checked.

        Raises:
            ValueError: if there is not one target, id and group per row.
        """
        scores = np.asarray(probabilities)
        true = np.asarray(targets, dtype=np.int64)
        lengths = {"targets": len(true), "ids": len(ids), "groups": len(scores) if groups is None else len(groups)}
        for name, length in lengths.items():
            if length != len(scores):
                raise ValueError(f"{length} {name} for {len(scores)} rows of probabilities; give one for each")
        return cls._of(scores, true, scores.argmax(axis=1).astype(np.int64), ids, groups)

    @classmethod
    def _of(
        cls, scores: NDArray[Any], true: NDArray[Any], predicted: NDArray[Any], ids: Any, groups: Any
    ) -> Predictions:
        rows = np.arange(len(scores))
        own = scores[rows, true]
        # Of equal probabilities the first counts as the higher one, as in `argmax`.
        ahead = (scores > own[:, None]).sum(axis=1)
        ahead += ((scores == own[:, None]) & (np.arange(scores.shape[1]) < true[:, None])).sum(axis=1)
        # Probabilities that were rounded in a record may tie where the prediction knew better.
        place = np.where(predicted == true, 0, np.maximum(ahead, 1))
        return cls(
            scores,
            true,
            predicted,
            tuple(str(one) for one in ids),
            None if groups is None else np.asarray(groups),
            scores[rows, predicted],
            own,
            place,
        )

    @property
    def correct(self) -> NDArray[np.bool_]:
        """[N] whether each item was right."""
        return np.asarray(self.predicted == self.targets)

    def scores(self) -> dict[str, float]:
        """Number of items, accuracy, balanced accuracy and loss (cross-entropy in nats, from these probabilities).

        With more than 20 classes also `top5_accuracy` and `ece`, the expected calibration error in 15 bins.
        """
        own = self.own.astype(np.float64)
        found = {
            "n": len(self.targets),
            "loss": float(-np.log(np.clip(own, 1e-12, 1.0)).mean()),
            "accuracy": float(self.correct.mean()),
            "balanced_accuracy": metrics.balanced_accuracy(self.targets, self.predicted),
        }
        if self._compact:
            found["top5_accuracy"] = float((self.place < 5).mean())
            found["ece"] = metrics.calibration_error_of(self.confidence, self.correct)
        return found

    @property
    def _compact(self) -> bool:
        return not 0 < self.probabilities.shape[1] <= _MANY_CLASSES

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; arrays and lists of names are compressed (zlib, base64)."""
        if self._compact:
            return self._to_compact()
        single = self.probabilities.size <= _SINGLE_PRECISION_NUMBERS
        return {
            "probabilities": _pack(self.probabilities.astype("<f4" if single else "<f2")),
            "targets": _pack(self.targets.astype("<i4")),
            "predicted": _pack(self.predicted.astype("<i4")),
            "ids": _pack_list(list(self.ids)),
            "groups": None if self.groups is None else _pack_list(self.groups.tolist()),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Predictions:
        """The reverse of `to_dict`; of a record of many classes all but the probabilities."""
        true = _unpack(stored["targets"]).astype(np.int64)
        groups = None if stored["groups"] is None else _unpack_list(stored["groups"])
        if "probabilities" in stored:
            predicted = _unpack(stored["predicted"]).astype(np.int64)
            scores = _unpack(stored["probabilities"]).astype(np.float32)
            return cls._of(scores, true, predicted, _unpack_list(stored["ids"]), groups)
        own, place = _unpack(stored["own"]).astype(np.float32), _unpack(stored["place"]).astype(np.int64)
        return cls(
            np.empty((len(true), 0), dtype=np.float32),
            true,
            np.where(place == 0, true, _unpack(stored["predicted_if_wrong"])),
            tuple(_unpack_names(stored["ids"])),
            None if groups is None else np.asarray(groups),
            np.where(place == 0, own, _unpack(stored["confidence_if_wrong"]).astype(np.float32)),
            own,
            place,
        )

    def _to_compact(self) -> dict[str, Any]:
        # Where a prediction is right, it and its confidence are those of the true class, and zeros compress well.
        return {
            "targets": _pack_counts(self.targets),
            "predicted_if_wrong": _pack_counts(np.where(self.correct, 0, self.predicted)),
            "own": _pack(self.own.astype("<f2")),
            "confidence_if_wrong": _pack(np.where(self.correct, 0, self.confidence).astype("<f2")),
            "place": _pack_counts(self.place),
            "ids": _pack_names(self.ids),
            "groups": None if self.groups is None else _pack_list(self.groups.tolist()),
        }


def write_predictions(predictions: Predictions, path: str | Path) -> None:
    """Writes every probability of a split beside its record, which of many classes keeps three numbers per item only.

    A compressed file of numpy (`.npz`) with `probabilities` [N, C] float32, `targets` [N] and `ids` [N]; a reader sees
    the old file or the whole new one.

    Raises:
        ValueError: if the predictions come from a record that does not hold the probabilities.
    """
    if predictions.probabilities.shape[1] == 0:
        raise ValueError("these predictions hold no probabilities; write them where they are computed")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("wb") as stream:
        np.savez_compressed(
            stream,
            probabilities=predictions.probabilities.astype(np.float32),
            targets=predictions.targets,
            ids=np.array(predictions.ids, dtype=np.str_),
        )
    unfinished.replace(path)


def read_predictions(path: str | Path, recorded: Predictions) -> Predictions:
    """The predictions of a record with every probability, from the file that `write_predictions` wrote.

    Args:
        path: of that file.
        recorded: what the record holds of the same split.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such file, or holds something else than the record does.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; without it there are no curves of this run")
    try:
        # Opened here, as numpy leaves a file open that it cannot read.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            found = Predictions.of(stored["probabilities"], stored["targets"], stored["ids"].tolist(), recorded.groups)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} does not hold predictions ({error}); move it away") from error
    same = found.ids == recorded.ids and np.array_equal(found.targets, recorded.targets)
    if not same or not np.array_equal(found.predicted, recorded.predicted):
        raise ValueError(f"{path} belongs to another run than the record beside it; move it away")
    return found


@dataclass
class Run:
    """One run: its settings, its circumstances and its result.

    Attributes:
        recipe: the settings, the seed among them.
        source: where the data came from: "local", "download", "package" or "stand-in".
        fingerprint: sha256 of the splits' names and labels; equal fingerprints mean equal data.
        classes: class names in the order of the probabilities.
        sizes: number of items per split ("train" as used, after `recipe.subset`).
        metrics: per split the scores of `Predictions.scores`.
        predictions: per split what was said about every item.
        history: one record per epoch, as `clslab.train.fit` returns them.
        seconds_fit: seconds from the untrained to the trained model, without reading the pictures.
        seconds_total: seconds of the whole run.
        peak_memory: high-water mark of the process' memory in bytes (it includes earlier runs of the same process).
        parameters_trained: number of parameters that were trained.
        parameters_total: number of parameters altogether.
        opened_test: how often this run opened the sealed test split, 0 or 1.
        code: version, commit and source hash of the library.
        packages: versions of Python and of the packages that compute.
        machine: device, precision, threads, name.
        notes: further facts, such as the C that a probe chose.
    """

    recipe: Recipe
    source: str
    fingerprint: str
    classes: tuple[str, ...]
    sizes: dict[str, int]
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    predictions: dict[str, Predictions] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds_fit: float = 0.0
    seconds_total: float = 0.0
    peak_memory: int = 0
    parameters_trained: int = 0
    parameters_total: int = 0
    opened_test: int = 0
    code: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.recipe.seed

    def record(self, split: str, predictions: Predictions) -> dict[str, float]:
        """Keeps the predictions on one split and the scores computed from them, and returns the scores."""
        self.predictions[split] = predictions
        self.metrics[split] = predictions.scores()
        return self.metrics[split]

    def to_json(self) -> str:
        """The record as JSON text, ended by a line break."""
        body: dict[str, Any] = {"schema": SCHEMA, "key": self.recipe.key(), "seed": self.seed}
        for one in fields(self):
            body[one.name] = getattr(self, one.name)
        body["recipe"] = self.recipe.to_dict()
        body["classes"] = list(self.classes)
        del body["predictions"]  # long lines, so they come last
        body["predictions"] = {split: one.to_dict() for split, one in self.predictions.items()}
        return json.dumps(body, indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Run:
        """The run that `to_json` wrote.

        Raises:
            ValueError: if the text is no record, or one of another schema.
        """
        try:
            body = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"this is no record of a run: {error}") from error
        if not isinstance(body, dict) or body.get("schema") != SCHEMA:
            found = body.get("schema") if isinstance(body, dict) else type(body).__name__
            raise ValueError(f"a record of schema {SCHEMA} is expected, not {found!r}; record the run again")
        missing = [one.name for one in fields(cls) if one.name not in body]
        if missing:
            raise ValueError(f"the record lacks {', '.join(missing)}; record the run again")
        values = {one.name: body[one.name] for one in fields(cls)}
        values["recipe"] = Recipe.from_dict(body["recipe"])
        values["classes"] = tuple(body["classes"])
        values["predictions"] = {split: Predictions.from_dict(one) for split, one in body["predictions"].items()}
        return cls(**values)


def single_view(run: Run) -> Run:
    """The same training scored without test-time augmentation: each picture as it is.

    A run whose recipe names views (`tta`) keeps both answers, so that what the views bring is compared on one and the
    same network.

    Raises:
        ValueError: if the recipe has no `tta`, or the record keeps no answers in a single view.

    Taught in chapter 13.
    """
    kept = [split for split in run.predictions if split.endswith(SINGLE_VIEW)]
    if run.recipe.tta is None or not kept:
        raise ValueError(
            f"the run (tta = {run.recipe.tta!r}) keeps no answers in a single view; record it with tta set, or take "
            "it as it is"
        )
    plain = {split.removesuffix(SINGLE_VIEW): run.predictions[split] for split in kept}
    scores = {split.removesuffix(SINGLE_VIEW): run.metrics[split] for split in kept}
    return replace(run, recipe=run.recipe.replace(tta=None), predictions=plain, metrics=scores)


def record_path(directory: str | Path, name: str, seed: int) -> Path:
    """Where the record of one run lies: `directory/NAME/seed-S.json`.

    Raises:
        ValueError: if the name would leave the directory.
    """
    parts = name.split("/")
    if not name or any(part in ("", ".", "..") or "\\" in part or ":" in part for part in parts):
        raise ValueError(f'{name!r} is no name of a run; use words joined by "/", such as "debris/head"')
    return Path(directory, *parts, f"seed-{seed}.json")


def write_record(text: str, path: Path) -> None:
    """Writes text so that a reader sees the old file or the whole new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        Path(temporary).chmod(0o644)  # mkstemp gives the owner alone access
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_record(path: str | Path) -> Run:
    """The run in one file.

    Raises:
        ValueError: if the file is no record; the message names it.
    """
    try:
        return Run.from_json(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def record_state(path: Path, recipe: Recipe, *, test: bool = False) -> Literal["absent", "recorded", "failed", "stale"]:
    """Whether a run lies recorded at a path: with this recipe, with another one ("stale"), as a failure or not at all.

    The seed does not count: it is in the name of the file. With `test=True` a record whose test split was left shut is
    stale too.
    """
    if not path.is_file():
        return "failed" if failure_path(path).is_file() else "absent"
    run = read_record(path)
    untested = test and "test" in run.sizes and not run.opened_test
    return "recorded" if run.recipe.key() == recipe.key() and not untested else "stale"


def failure_path(path: Path) -> Path:
    """Where the failure of the run is written that would be recorded at `path`."""
    return path.with_suffix(".failed.json")


def load_runs(directory: str | Path, pattern: str = "*") -> dict[str, list[Run]]:
    """All recorded runs below a directory, by name, each list in the order of the seeds.

    Args:
        directory: the folder of records, such as `book/results`.
        pattern: shell pattern for the names; `*` passes over "/" too, so `debris/*` holds "debris/head".

    Raises:
        FileNotFoundError: if there is no such folder, or no record in it that fits the pattern.
        ValueError: if a file is no record.
    """
    root = Path(directory)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder of records at {root}; record some with: python -m clslab sweep FILE")
    runs: dict[str, list[Run]] = {}
    for path in sorted(root.rglob("seed-*.json")):
        name = path.parent.relative_to(root).as_posix()
        if not path.name.endswith(".failed.json") and fnmatch(name, pattern):
            runs.setdefault(name, []).append(read_record(path))
    if not runs:
        raise FileNotFoundError(f"no record below {root} fits {pattern!r}; record some with: clslab sweep FILE")
    return {name: sorted(found, key=lambda run: run.seed) for name, found in runs.items()}


def results_table(
    runs_by_name: Mapping[str, Sequence[Run]],
    *,
    metric: Literal["accuracy", "balanced_accuracy"] = "accuracy",
    split: Split = "test",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """One row per recipe: its score, the spread over seeds and the interval over seeds and items.

    Args:
        runs_by_name: as `load_runs` returns it; the runs of one name repeat one recipe with different seeds.
        metric: "accuracy" or "balanced_accuracy".
        split: "test" or "val".
        confidence: coverage of the interval.

    Returns:
        Columns `name`, `seeds` and `n` (numbers of seeds and items), `mean` and `sd` over seeds (sd is nan for one
        seed), `low` and `high` (bootstrap over seeds and items, whole groups where they are recorded), `seconds`
        (mean of the seconds of fitting) and `source`.

    Raises:
        MixedSourcesError: if some runs are on stand-ins and some on real data.
        ValueError: if the runs of one name do not repeat one recipe on the same items.

    Taught in chapter 3.
    """
    _refuse_mixture([run for runs in runs_by_name.values() for run in runs])
    rows = []
    for name, runs in runs_by_name.items():
        correct, shared = _stacked(name, runs, split)
        mean, sd = stats.spread([run.metrics[split][metric] for run in runs])
        _, low, high = stats.bootstrap(
            correct, **_resampling(shared.targets, shared.groups, metric), confidence=confidence
        )
        rows.append(
            {
                "name": name,
                "seeds": len(runs),
                "n": len(shared.targets),
                "mean": mean,
                "sd": sd,
                "low": low,
                "high": high,
                "seconds": float(np.mean([run.seconds_fit for run in runs])),
                "source": runs[0].source,
            }
        )
    columns = ["name", "seeds", "n", "mean", "sd", "low", "high", "seconds", "source"]
    return pd.DataFrame(rows, columns=columns)


def difference(
    runs_a: Sequence[Run],
    runs_b: Sequence[Run],
    *,
    metric: Literal["accuracy", "balanced_accuracy"] = "accuracy",
    split: Split = "test",
    confidence: float = 0.95,
    same_networks: bool = False,
) -> tuple[float, float, float]:
    """Difference A − B of two recipes with its paired bootstrap interval, over the items that both scored.

    Items are matched by their names. Groups are resampled whole where they are recorded; where A and B group the items
    differently, items that either of them keeps together stay together.

    Args:
        runs_a: the runs of A, one per seed.
        runs_b: the runs of B.
        metric: "accuracy" or "balanced_accuracy".
        split: "test" or "val".
        confidence: coverage of the interval.
        same_networks: A and B are two ways to ask the same trained networks, such as ten views and one. A seed of A is
            then drawn together with that seed of B, and the luck of the training cancels.

    Returns:
        The difference, and the lower and upper end of its interval.

    Raises:
        MixedSourcesError: if one side is on a stand-in and the other on real data.
        ValueError: if the two share no item, or disagree about the true class of one; with `same_networks`, if their
            seeds differ.

    Taught in chapters 3 and 13.
    """
    _refuse_mixture([*runs_a, *runs_b])
    asked_a, asked_b, resampling = _on_shared_items(runs_a, runs_b, metric, split)
    if not same_networks:
        return stats.paired_bootstrap(asked_a, asked_b, **resampling, confidence=confidence)
    if [run.seed for run in runs_a] != [run.seed for run in runs_b]:
        raise ValueError("same_networks = True needs the same seeds in the same order on both sides; leave it out")
    return stats.bootstrap(asked_a.astype(float) - asked_b, **resampling, confidence=confidence)


def same_training(runs_a: Sequence[Run], runs_b: Sequence[Run]) -> bool:
    """Whether two recipes differ only in how the same trained networks are asked, such as in one view or in ten.

    Neither views nor an average of the weights change a training. So each seed of A has then seen, in every epoch, the
    very training loss that this seed of B has seen, to the last bit; two trainings that differ in anything do not.

    Args:
        runs_a: the runs of A, one per seed.
        runs_b: the runs of B.

    Returns:
        What `same_networks` of `difference` and `difference_over_seeds` may be. Runs without a history, such as probes,
        tell nothing: False.

    Taught in chapter 13.
    """
    a, b = ([(run.seed, [epoch["train_loss"] for epoch in run.history]) for run in runs] for runs in (runs_a, runs_b))
    return a == b and all(losses for _, losses in a)


def difference_over_seeds(
    runs_a: Sequence[Run],
    runs_b: Sequence[Run],
    *,
    metric: str = "accuracy",
    split: Split = "test",
    confidence: float = 0.95,
    same_networks: bool = False,
) -> tuple[float, float, float]:
    """Difference A − B of two recipes with the interval of Student's t over their seeds, the items taken as given.

    A bootstrap over three seeds is too narrow: it knows no number outside the three. This interval pays for not
    knowing the spread over seeds, by the quantile of Student's t (in Welch's form, so the two sides may spread
    differently), and says nothing about other items. With few seeds it is wide.

    Args:
        runs_a: the runs of A, one per seed, two or more.
        runs_b: the runs of B.
        metric: a key of the scores of a split, such as "accuracy". Where one side scored items that the other did not,
            "accuracy" and "balanced_accuracy" are those of the items that both scored, and no other metric is known.
        split: "test" or "val".
        confidence: two-sided coverage in (0, 1).
        same_networks: A and B are two ways to ask the same trained networks; the interval is that of the differences
            seed by seed.

    Returns:
        The difference of the means over seeds, and the lower and upper end of its interval. Recipes without any luck,
        such as a probe that every seed fits alike, have no spread: then all three are the difference, which is no
        evidence beyond that.

    Raises:
        MixedSourcesError: if one side is on a stand-in and the other on real data.
        KeyError: if the runs have no such score.
        ValueError: if a side has one seed, or one seed twice, if the confidence is out of range, if the sides share no
            item, or, with `same_networks`, if the seeds differ.

    Source: Welch (1947), Biometrika 34. Taught in chapter 10.

    >>> runs = [Run(Recipe(seed=seed), "local", "", (), {}) for seed in (0, 1, 2)]
    >>> for run, accuracy in zip(runs, (0.30, 0.32, 0.34), strict=True):
    ...     run.metrics["test"] = {"accuracy": accuracy}
    >>> [round(value, 3) for value in difference_over_seeds(runs, runs)]
    [0.0, -0.045, 0.045]
    """
    _refuse_mixture([*runs_a, *runs_b])
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}: pass a number in (0, 1), such as 0.95")
    _check_seeds(runs_a, runs_b, same_networks=same_networks)
    a, b = _scores(runs_a, runs_b, metric, split)
    return float(a.mean() - b.mean()), *_by_t(a, b, confidence, paired=same_networks)


def verdict(
    interval: tuple[float, float, float],
    runs_a: Sequence[Run],
    runs_b: Sequence[Run],
    *,
    metric: Literal["accuracy", "balanced_accuracy"] = "accuracy",
    split: Split = "test",
    same_networks: bool = False,
) -> str:
    """What may be written about the difference of two recipes, in words.

    A difference is called clear where two judges agree: its bootstrap interval over seeds and items, and Student's t
    over the seeds (`difference_over_seeds`). Where only the bootstrap is clear of zero, more seeds would tell.

    Args:
        interval: the difference with its lower and upper end, as `difference` gives it.
        runs_a: the runs of A, one per seed.
        runs_b: the runs of B.
        metric: what was compared.
        split: where.
        same_networks: A and B are two ways to ask the same trained networks.

    Raises:
        ValueError: as `difference_over_seeds` does.

    Taught in chapter 10.
    """
    _, low, high = interval
    if min(len(runs_a), len(runs_b)) < 2:
        return "one seed: no verdict on the recipe"
    if low <= 0 <= high:
        return "no clear difference"
    _, t_low, t_high = difference_over_seeds(runs_a, runs_b, metric=metric, split=split, same_networks=same_networks)
    return "clear by the bootstrap, not by t" if t_low <= 0 <= t_high else "a clear difference"


def is_stand_in(run: Run) -> bool:
    """Whether the run was made on generated pictures."""
    return run.source == STAND_IN


def _check_seeds(runs_a: Sequence[Run], runs_b: Sequence[Run], *, same_networks: bool) -> None:
    seeds_a, seeds_b = ([run.seed for run in runs] for runs in (runs_a, runs_b))
    for side, seeds in (("A", seeds_a), ("B", seeds_b)):
        if len(seeds) < 2 or len(set(seeds)) < len(seeds):
            raise ValueError(f"{side} has the seeds {seeds}: a spread over seeds needs two or more, each once")
    if same_networks and seeds_a != seeds_b:
        raise ValueError("same_networks = True needs the same seeds in the same order on both sides; leave it out")


def _by_t(a: NDArray[Any], b: NDArray[Any], confidence: float, *, paired: bool) -> tuple[float, float]:
    """Student's t interval for the difference of two means; without any spread its ends are the difference."""
    if (np.ptp(a - b) if paired else max(np.ptp(a), np.ptp(b))) == 0:
        return float(a.mean() - b.mean()), float(a.mean() - b.mean())
    with warnings.catch_warnings():
        # scipy warns of equal numbers; one side without any luck is a recipe like another.
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        found = ttest_rel(a, b) if paired else ttest_ind(a, b, equal_var=False)
    low, high = found.confidence_interval(confidence)
    return float(low), float(high)


def _refuse_mixture(runs: Sequence[Run]) -> None:
    if len({is_stand_in(run) for run in runs}) > 1:
        drawn = sorted({run.recipe.data for run in runs if is_stand_in(run)})
        raise MixedSourcesError(
            f"some of these runs are on the stand-in of {', '.join(drawn)} and some on real data; a result on a "
            "stand-in is no result on the real set: record them again on one kind of data"
        )


def _stacked(name: str, runs: Sequence[Run], split: Split) -> tuple[NDArray[np.bool_], Predictions]:
    """Correctness [seeds, N] of the runs of one name, and the predictions that hold their shared items."""
    if not runs:
        raise ValueError(f"{name} has no runs")
    for run in runs:
        if split not in run.predictions:
            raise ValueError(f"{name}, seed {run.seed}: the {split} split was not scored; score it, or take another")
    first = runs[0].predictions[split]
    if len({run.recipe.key() for run in runs}) > 1:
        raise ValueError(f"the runs of {name} follow different recipes; record them again, or give them two names")
    if len({run.seed for run in runs}) < len(runs):
        raise ValueError(f"the runs of {name} repeat a seed; each seed counts once")
    if any(run.predictions[split].ids != first.ids for run in runs):
        raise ValueError(f"the runs of {name} scored different items; record them again on the same data")
    return np.stack([run.predictions[split].correct for run in runs]), first


def _on_shared_items(
    runs_a: Sequence[Run], runs_b: Sequence[Run], metric: str, split: Split
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
    """Correctness [seeds, N] of both sides on the items that both scored, and how these are to be resampled."""
    correct_a, a = _stacked("A", runs_a, split)
    correct_b, b = _stacked("B", runs_b, split)
    place_in_b = {one: index for index, one in enumerate(b.ids)}
    rows_a = np.array([index for index, one in enumerate(a.ids) if one in place_in_b], dtype=np.int64)
    if len(rows_a) == 0:
        raise ValueError(f"the runs share no item of the {split} split; compare runs on the same data")
    rows_b = np.array([place_in_b[a.ids[index]] for index in rows_a])
    if not np.array_equal(a.targets[rows_a], b.targets[rows_b]):
        raise ValueError("the runs give one item different true classes; compare runs with the same classes")
    groups = _kept_together(
        *(None if side.groups is None else side.groups[rows] for side, rows in ((a, rows_a), (b, rows_b)))
    )
    return correct_a[:, rows_a], correct_b[:, rows_b], _resampling(a.targets[rows_a], groups, metric)


def _kept_together(a: NDArray[Any] | None, b: NDArray[Any] | None) -> NDArray[Any] | None:
    """Groups [N] in which any two items lie together that lie together in `a` or in `b`."""
    if a is None or b is None:
        return b if a is None else a
    (names_a, of_a), (names_b, of_b) = (np.unique(groups, return_inverse=True) for groups in (a, b))
    nodes = len(names_a) + len(names_b)  # a graph of both sides' groups, with an edge for each item
    edges = coo_array((np.ones(len(a)), (of_a, len(names_a) + of_b)), shape=(nodes, nodes))
    return connected_components(edges, directed=False)[1][of_a]


def _scores(
    runs_a: Sequence[Run], runs_b: Sequence[Run], metric: str, split: Split
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scores [seeds] of both sides: the recorded ones, or of the items that both scored where one scored more."""
    asked = [run.predictions[split].ids for run in (*runs_a, *runs_b) if split in run.predictions]
    if all(set(ids) == set(asked[0]) for ids in asked):
        a, b = (np.array([run.metrics[split][metric] for run in runs], dtype=float) for runs in (runs_a, runs_b))
        return a, b
    correct_a, correct_b, resampling = _on_shared_items(runs_a, runs_b, metric, split)
    labels = resampling.get("labels", np.zeros(correct_a.shape[1]))
    classes = [labels == one for one in np.unique(labels)]
    a, b = (np.mean([one[:, of].mean(axis=1) for of in classes], axis=0) for one in (correct_a, correct_b))
    return a, b


def _resampling(targets: NDArray[np.int64], groups: NDArray[Any] | None, metric: str) -> dict[str, Any]:
    if metric not in ("accuracy", "balanced_accuracy"):
        raise ValueError(f'{metric!r} has no interval here; choose "accuracy" or "balanced_accuracy"')
    chosen: dict[str, Any] = {"statistic": "mean"}
    if metric == "balanced_accuracy":
        chosen = {"statistic": "balanced", "labels": targets}
    if groups is not None:
        chosen["groups"] = groups
    return chosen


def _pack(array: NDArray[Any]) -> dict[str, Any]:
    return {"dtype": array.dtype.str, "shape": list(array.shape), "zlib": _squeeze(array.tobytes())}


def _unpack(stored: Mapping[str, Any]) -> NDArray[Any]:
    return np.frombuffer(_unsqueeze(stored["zlib"]), dtype=np.dtype(stored["dtype"])).reshape(stored["shape"]).copy()


def _pack_list(items: list[Any]) -> dict[str, Any]:
    return {"count": len(items), "zlib": _squeeze(json.dumps(items, ensure_ascii=False).encode())}


def _unpack_list(stored: Mapping[str, Any]) -> list[Any]:
    return list(json.loads(_unsqueeze(stored["zlib"])))


def _pack_counts(values: NDArray[Any]) -> dict[str, Any]:
    """Whole numbers from 0, in as few bytes each as the largest one needs."""
    return _pack(values.astype(np.min_scalar_type(int(values.max())).newbyteorder("<")))


_NUMBERED = re.compile(r"(.*?)([0-9]+)")


def _pack_names(names: Sequence[str]) -> dict[str, Any]:
    """Names that differ in a number at their end, such as "test/00042", as the steps between these numbers."""
    found = [_NUMBERED.fullmatch(name) for name in names]
    kinds = {(one[1], len(one[2])) if one else None for one in found}
    if len(kinds) > 1 or None in kinds or len(names[0]) > 18:  # 19 digits might not fit into 64 bits
        return _pack_list(list(names))
    (prefix, digits), *_ = [kind for kind in kinds if kind]
    numbers = np.array([int(one[2]) for one in found if one], dtype="<i8")
    return {"prefix": prefix, "digits": digits, "steps": _pack(np.diff(numbers, prepend=0).astype("<i8"))}


def _unpack_names(stored: Mapping[str, Any]) -> list[str]:
    if "prefix" not in stored:
        return _unpack_list(stored)
    numbers = np.cumsum(_unpack(stored["steps"]))
    return [f"{stored['prefix']}{number:0{stored['digits']}d}" for number in numbers.tolist()]


def _squeeze(raw: bytes) -> str:
    return base64.b64encode(zlib.compress(raw, 9)).decode("ascii")


def _unsqueeze(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
