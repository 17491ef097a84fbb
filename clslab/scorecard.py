"""What a run's predictions on one split say: lines to read, a table of classes, and figures.

Everything is computed from the record of the run. Curves over all thresholds need every probability; a record of more
than 20 classes leaves them to the file beside it (`clslab.records.read_predictions`), and without that file the curves
are left out.

Taught in chapter 12.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clslab import data, metrics, stats
from clslab.records import Predictions, Run, Split, read_predictions
from clslab.taxonomy import Taxonomy

if TYPE_CHECKING:
    from clslab.plots import BookFigure

_FEW_CLASSES = 12  # that fit into a plain confusion matrix
_MOST_GROUPS = 24  # names that fit beside a matrix in blocks


@dataclass(frozen=True)
class Scorecard:
    """Predictions on one split, and what they are about.

    Attributes:
        predictions: of one run.
        classes: the C names.
        taxonomy: tree above the classes, or None where there is none.
        split: "val" or "test".

    Taught in chapter 12.

    >>> card = Scorecard(Predictions.of([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 1], "abc"), ("cat", "dog"))
    >>> card.lines()[-1]
    'most frequent confusions (true → predicted): dog → cat 1'
    """

    predictions: Predictions
    classes: tuple[str, ...]
    taxonomy: Taxonomy | None = None
    split: str = "test"

    @classmethod
    def of_run(cls, run: Run, split: Split = "test", *, probabilities: str | Path | None = None) -> Scorecard:
        """What a run said about a split.

        Args:
            run: recorded, or just trained.
            split: "val" or "test".
            probabilities: the file of all probabilities beside a record; left aside where there is none.

        Raises:
            ValueError: if the split was not scored, or the file belongs to another run.
        """
        if split not in run.predictions:
            raise ValueError(
                f"the run did not score its {split} split; open a test split with: python -m clslab test RUN"
            )
        predictions = run.predictions[split]
        if probabilities is not None and Path(probabilities).is_file():
            predictions = read_predictions(probabilities, predictions)
        # Of own recordings no tree is written down in the library: the record brings it along.
        own = run.notes.get("taxonomy")
        tree = Taxonomy.from_paths(own) if own else data.taxonomy(run.recipe.data, run.recipe.variant)
        return cls(predictions, run.classes, tree, split)

    # ------------------------------------------------------------------------ in words

    def lines(self, *, few: int = 5) -> list[str]:
        """The scores, the worst classes and the most frequent confusions, a line each; `few` of the latter two."""
        found = self.predictions
        n, right = len(found.targets), int(found.correct.sum())
        low, high = stats.wilson(right, n)
        told = [f"{self.split} accuracy: {right / n:.4f} (n = {n:,}; 95 % interval {low:.4f} to {high:.4f})"]
        told.append(f"macro F1: {metrics.macro_f1(found.targets, found.predicted):.4f}")
        if len(self.classes) > 5:
            told.append(f"top-5 accuracy: {(found.place < 5).mean():.4f}")
        if self._coarse is not None:
            told += self._about_superclasses(self._coarse)
        told.append(f"expected calibration error: {metrics.calibration_error_of(found.confidence, found.correct):.4f}")
        if self.has_curves:
            average = self.average_precisions
            told.append(f"mean average precision over the classes: {np.nanmean(average):.4f}")
        table = self.per_class().dropna(subset="recall").sort_values("recall", kind="stable")[:few]
        worst = ", ".join(f"{row['class']} {row['recall']:.2f}" for _, row in table.iterrows())
        told.append(f"worst classes (recall): {worst}")
        confusions = metrics.top_confusions(self._matrix, few, classes=self.classes)
        often = ", ".join(f"{row['true']} → {row['predicted']} {row['count']}" for _, row in confusions.iterrows())
        told.append(f"most frequent confusions (true → predicted): {often or 'none'}")
        return told

    def _about_superclasses(self, coarse: NDArray[np.int64]) -> list[str]:
        assert self.taxonomy is not None  # or there were no coarse matrix
        n, right = int(coarse.sum()), int(np.trace(coarse))
        low, high = stats.wilson(right, n)
        mistakes = n - int(self.predictions.correct.sum())
        told = [
            f"superclass accuracy: {right / n:.4f} ({self.taxonomy.num_classes(0)} superclasses; 95 % interval "
            f"{low:.4f} to {high:.4f})"
        ]
        if mistakes:
            told.append(f"mistakes that stay in their superclass: {(mistakes - (n - right)) / mistakes:.4f}")
        return told

    # ------------------------------------------------------------------------ as a table

    def per_class(self) -> pd.DataFrame:
        """One row per class, in the order of the classes.

        Returns:
            Columns `class`, `superclass` (where there is a tree), `n`, `recall` with its 95 % interval
            (`recall_low`, `recall_high`), `precision`, `f1`, `average_precision` (where every probability is known),
            `most_often_taken_for` and `times`. A share of nothing is nan.
        """
        matrix = self._matrix
        sizes, taken, found = matrix.sum(axis=1), matrix.sum(axis=0), np.diag(matrix)
        ends = [stats.wilson(int(one), int(n)) if n else (np.nan, np.nan) for one, n in zip(found, sizes, strict=True)]
        columns: dict[str, object] = {"class": list(self.classes)}
        if self.taxonomy is not None and self.taxonomy.levels > 1:
            columns["superclass"] = [path[0] for path in self.taxonomy.paths]
        columns |= {
            "n": sizes,
            "recall": _shares(found, sizes),
            "recall_low": [low for low, _ in ends],
            "recall_high": [high for _, high in ends],
            "precision": _shares(found, taken),
            "f1": _shares(2 * found, sizes + taken),
        }
        if self.has_curves:
            columns["average_precision"] = self.average_precisions
        mistakes = matrix.copy()
        np.fill_diagonal(mistakes, 0)
        times = mistakes.max(axis=1)
        columns["most_often_taken_for"] = [
            self.classes[place] if count else "" for place, count in zip(mistakes.argmax(axis=1), times, strict=True)
        ]
        columns["times"] = times
        return pd.DataFrame(columns)

    # ------------------------------------------------------------------------ as figures

    def figures(self) -> dict[str, BookFigure]:
        """The figures by name: confusion, reliability and, where every probability is known, roc and pr.

        A matrix of more than 12 classes is drawn in the blocks of its superclasses; without a tree it is left out.
        """
        from clslab import plots

        drawn = {}
        accuracy = f"{100 * self.predictions.correct.mean():.1f} %"
        matrix = self._drawn_matrix(f"Confusion matrix on {self.split}; accuracy {accuracy}.")
        if matrix is not None:
            drawn["confusion"] = matrix
        bins = metrics.reliability_bins_of(self.predictions.confidence, self.predictions.correct)
        error = metrics.calibration_error_of(self.predictions.confidence, self.predictions.correct)
        drawn["reliability"] = plots.reliability(
            bins["confidence"],
            bins["accuracy"],
            bins["count"],
            alt=f"Accuracy against confidence on {self.split}; expected calibration error {100 * error:.1f} points.",
        )
        return drawn | (self._drawn_curves() if self.has_curves else {})

    def _drawn_matrix(self, alt: str) -> BookFigure | None:
        from clslab import plots

        if len(self.classes) <= _FEW_CLASSES:
            return plots.confusion(self._matrix, self.classes, alt=alt, item="items")
        if self.taxonomy is None or not 1 < self.taxonomy.num_classes(0) <= _MOST_GROUPS:
            return None
        above = self.taxonomy.coarsen(np.arange(len(self.classes)), 0)
        groups = {
            path[0]: np.flatnonzero(above == number).tolist() for number, path in enumerate(self.taxonomy.nodes(0))
        }
        return plots.confusion_blocks(self._matrix, groups, alt=alt, item="items")

    def _drawn_curves(self) -> dict[str, BookFigure]:
        """ROC and precision against recall, of all decisions together and of three classes."""
        from clslab import plots

        shown = self.shown_classes()
        arguments = self.predictions.probabilities, self.predictions.targets
        roc = {name: metrics.roc_curve(*arguments, positive=positive) for name, positive in shown.items()}
        pr = {name: metrics.pr_curve(*arguments, positive=positive) for name, positive in shown.items()}
        others = len(self.classes) - 1
        pooled = next(iter(pr.values()))
        return {
            "roc": plots.roc_curves(
                {name: (curve.false_positive_rate, curve.true_positive_rate) for name, curve in roc.items()},
                areas={name: curve.area for name, curve in roc.items()},
                footnote=f"for each picture of a class, {others} of the others: 1 % of them are {others / 100:g} "
                "false alarms for each picture to be found",
                alt=f"ROC curves on {self.split}; area {next(iter(roc.values())).area:.3f} over all decisions.",
            ),
            "pr": plots.precision_recall_curves(
                {name: (curve.recall, curve.precision) for name, curve in pr.items()},
                areas={name: curve.average_precision for name, curve in pr.items()},
                prevalence=pooled.prevalence,
                alt=f"Precision against recall on {self.split}; average precision "
                f"{pooled.average_precision:.3f} over all decisions.",
            ),
        }

    def shown_classes(self) -> dict[str, int | None]:
        """What the curves show: all decisions (None), and the classes of the best, median and worst average precision.

        Raises:
            ValueError: if the probabilities are not known.
        """
        average = self.average_precisions
        ranked = np.argsort(-average, kind="stable")[: int(np.isfinite(average).sum())]
        places = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1}
        chosen: dict[str, int | None] = {"all decisions": None}
        for word, place in places.items():
            if int(ranked[place]) not in chosen.values():
                chosen[f"{word}: {self.classes[ranked[place]].replace('_', ' ')}"] = int(ranked[place])
        return chosen

    # ------------------------------------------------------------------------ kept

    def write(self, folder: str | Path) -> list[Path]:
        """Writes the table as `SPLIT_per_class.csv` and each figure as `SPLIT_NAME.png`, and returns their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        table = folder / f"{self.split}_per_class.csv"
        self.per_class().to_csv(table, index=False, float_format="%.6g", lineterminator="\n")
        written = [table]
        for name, figure in self.figures().items():
            written.append(folder / f"{self.split}_{name}.png")
            figure.savefig(written[-1])
        return written

    def to_tensorboard(self, folder: str | Path, *, step: int = 0) -> None:
        """Writes scores, figures and precision-recall curves into a folder of TensorBoard.

        Raises:
            ImportError: if TensorBoard is not installed.
        """
        from clslab.training_log import tensorboard_writer

        with tensorboard_writer(folder) as writer:
            for name, value in self.predictions.scores().items():
                writer.add_scalar(f"{self.split}/{name}", value, step)
            for name, figure in self.figures().items():
                writer.add_image(f"{self.split}/{name}", _pixels(figure), step, dataformats="HWC")
            if self.has_curves:
                targets, scores = self.predictions.targets, self.predictions.probabilities
                for name, positive in self.shown_classes().items():
                    every = targets[:, None] == np.arange(len(self.classes))
                    truth, shown = (every, scores) if positive is None else (every[:, positive], scores[:, positive])
                    writer.add_pr_curve(f"{self.split}/{name}", truth.ravel(), shown.ravel(), step)

    # ------------------------------------------------------------------------ computed once

    @property
    def has_curves(self) -> bool:
        """Whether every probability is known, and there is more than one class to tell apart."""
        return self.predictions.probabilities.shape[1] > 0 and len(np.unique(self.predictions.targets)) > 1

    @cached_property
    def average_precisions(self) -> NDArray[np.float64]:
        """Average precision of each class, [C]; nan for a class that does not occur."""
        return metrics.per_class_average_precision(self.predictions.probabilities, self.predictions.targets)

    @cached_property
    def _matrix(self) -> NDArray[np.int64]:
        return metrics.confusion_matrix(self.predictions.targets, self.predictions.predicted, len(self.classes))

    @cached_property
    def _coarse(self) -> NDArray[np.int64] | None:
        if self.taxonomy is None or self.taxonomy.levels < 2:
            return None
        return metrics.coarse_confusion(self._matrix, self.taxonomy)


def _shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _pixels(figure: BookFigure) -> NDArray[np.uint8]:
    """A figure as a picture [H, W, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba(), dtype=np.uint8)[..., :3]
