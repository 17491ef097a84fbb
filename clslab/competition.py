"""A competition: a submission is checked, scored against labels that stay hidden, and put on a leaderboard.

    submission.csv (`id,label`) → `read_answers` → `score` → `leaderboard` → CSV and a page

A board that shows every try's score on the whole hidden set is a validation set with many users: whoever tries often
rises without getting better (chapter 3). So the hidden set is cut in two. The public part is shown while the
competition runs, the private part decides at its end.

Taught in chapter 6.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clslab import stats

HEADER = ("id", "label")
LARGEST_BYTES = 20_000_000
"""A larger file is no submission, and is not read."""

_SHOWN = 5  # ids or lines that one message names


class SubmissionError(ValueError):
    """A file that cannot be scored.

    Attributes:
        problems: what is wrong, a sentence each, with what to do.
    """

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{name} cannot be scored: " + "; ".join(problems))


@dataclass(frozen=True)
class Truth:
    """The hidden labels.

    Attributes:
        labels: id -> label, in the order of the file.
        public: [N] whether the item belongs to the part that is shown while the competition runs.
    """

    labels: Mapping[str, str]
    public: NDArray[np.bool_]

    @property
    def ids(self) -> tuple[str, ...]:
        """The N ids."""
        return tuple(self.labels)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted(set(self.labels.values())))


@dataclass(frozen=True)
class Entry:
    """What became of one submission.

    Attributes:
        name: of the file without its ending, or of the folder that it lies in.
        correct: [N] whether each item of the hidden set is right; `None` where the file could not be scored.
        problems: why not.
    """

    name: str
    correct: NDArray[np.bool_] | None = None
    problems: tuple[str, ...] = field(default_factory=tuple)


def read_truth(path: str | Path, *, public_share: float = 0.3, salt: str = "") -> Truth:
    """Reads the hidden labels and cuts them in a public and a private part.

    Which part an item falls into is decided by a hash of its id and the salt: the same on every machine and day, and
    unknown to whoever does not know the salt.

    Args:
        path: a file `id,label`.
        public_share: share of the public part, in [0, 1].
        salt: any text; keep it beside the truth, outside of what students see.

    Raises:
        FileNotFoundError: if there is no such file.
        SubmissionError: if it is no such file, or an id comes twice.
        ValueError: if the share is out of range.
    """
    if not 0 <= public_share <= 1:
        raise ValueError(f"public_share is {public_share}; it has to be from 0 (all private) to 1 (all public)")
    rows = _rows(Path(path))
    problems = _repeated([one for one, _ in rows])
    if problems:
        raise SubmissionError(str(path), problems)
    labels = dict(rows)
    places = [int.from_bytes(hashlib.sha256(f"{salt}\n{one}".encode()).digest()[:8], "big") / 2**64 for one in labels]
    return Truth(labels, np.array(places) < public_share)


def read_answers(path: str | Path, ids: Sequence[str], classes: Sequence[str]) -> list[str]:
    """The labels that a submission gives, in the order of `ids`. Its rows may stand in any order.

    Args:
        path: a file in UTF-8 with the header `id,label` and one row per item.
        ids: what has to be answered.
        classes: the labels that are allowed.

    Raises:
        FileNotFoundError: if there is no such file.
        SubmissionError: with everything that is wrong with it at once.

    Taught in chapter 6.
    """
    rows = _rows(Path(path))
    given = [one for one, _ in rows]
    problems = _repeated(given) + _missing(ids, given) + _unknown(given, ids) + _wrong_labels(rows, classes)
    if problems:
        raise SubmissionError(str(path), problems)
    answers = dict(rows)
    return [answers[one] for one in ids]


def personal_part(ids: Sequence[str], student: str, size: int) -> list[str]:
    """The ids that one student answers: the same for the same student always, and other ones for another student.

    A hash decides, so no list of draws has to be kept, and a copied submission has ids that its sender was not given.

    Args:
        ids: all ids, in any order.
        student: who it is, such as the number on the student's card; spaces at the ends do not count.
        size: how many ids, at most all of them.

    Returns:
        That many ids, sorted.

    Raises:
        ValueError: if `student` is empty, an id comes twice, or the size is out of range.

    Taught in chapter 6.

    >>> personal_part(["a", "b", "c", "d"], "1234", 2)
    ['c', 'd']
    """
    who = student.strip()
    if not who:
        raise ValueError("student is empty; give the number or the name that you hand in under")
    repeated = _repeated(ids)
    if repeated:
        raise ValueError(f"ids: {repeated[0]}")
    if not 1 <= size <= len(ids):
        raise ValueError(f"size is {size}; there are {len(ids)} ids, so give 1 to {len(ids)}")
    return sorted(sorted(ids, key=lambda one: hashlib.sha256(f"{who}\n{one}".encode()).digest())[:size])


def score(submissions: str | Path, truth: Truth) -> list[Entry]:
    """Scores every submission of a folder; one that cannot be scored is kept with its problems, and the rest goes on.

    Args:
        submissions: a folder of `NAME.csv` files or of folders `NAME/submission.csv`, or a single file.
        truth: the hidden labels.

    Raises:
        FileNotFoundError: if the folder is not there, or holds no submission.
    """
    expected = np.array(list(truth.labels.values()))
    entries = []
    for name, path in found(Path(submissions)).items():
        try:
            answers = np.array(read_answers(path, truth.ids, truth.classes))
        except SubmissionError as error:
            entries.append(Entry(name, problems=error.problems))
        else:
            entries.append(Entry(name, answers == expected))
    return entries


def leaderboard(entries: Sequence[Entry], truth: Truth, *, private: bool = False) -> pd.DataFrame:
    """The submissions by accuracy, the best first; those that could not be scored stand last, with the reason.

    Args:
        entries: as `score` returns them.
        truth: the same hidden labels.
        private: score the private part instead of the public one: for the end of the competition, once.

    Returns:
        Columns `rank` (equal accuracies share one; 0 for none), `name`, `accuracy` with its 95 % Wilson interval `low`
        and `high`, `n` (items of this part), `p` (exact McNemar test against the first) and `note`.

    Raises:
        ValueError: if this part of the hidden set is empty.

    Taught in chapter 6.
    """
    part = ~truth.public if private else truth.public
    n = int(part.sum())
    if n == 0:
        raise ValueError(
            f"the {'private' if private else 'public'} part of the {len(part)} hidden items is empty; "
            "choose another public share"
        )
    scored = {entry.name: entry.correct[part] for entry in entries if entry.correct is not None}
    order = sorted(scored, key=lambda name: (-int(scored[name].sum()), name))
    rows: list[dict[str, Any]] = []
    for place, name in enumerate(order, start=1):
        right = int(scored[name].sum())
        tied = bool(rows) and rows[-1]["accuracy"] == right / n
        low, high = stats.wilson(right, n)
        rows.append(
            {
                "rank": rows[-1]["rank"] if tied else place,
                "name": name,
                "accuracy": right / n,
                "low": low,
                "high": high,
                "n": n,
                "p": _against(scored[order[0]], scored[name]),
                "note": "",
            }
        )
    for entry in sorted((one for one in entries if one.correct is None), key=lambda one: one.name):
        rows.append({"rank": 0, "name": entry.name, "n": n, "note": "not scored: " + "; ".join(entry.problems)})
    return pd.DataFrame(rows, columns=["rank", "name", "accuracy", "low", "high", "n", "p", "note"])


def write_leaderboard(board: pd.DataFrame, folder: str | Path, *, title: str) -> list[Path]:
    """Writes a leaderboard as `leaderboard.csv` and as a page `leaderboard.html`, and returns the two paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table, page = folder / "leaderboard.csv", folder / "leaderboard.html"
    board.to_csv(table, index=False, float_format="%.6g", lineterminator="\n")
    shown = board.assign(rank=board["rank"].replace(0, "–"))
    body = shown.to_html(index=False, float_format="{:.4f}".format, na_rep="–", border=0)  # escapes every name
    page.write_text(_PAGE.format(title=title, table=body), encoding="utf-8")
    return [table, page]


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; line-height: 1.5; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ text-align: left; padding: .3rem .8rem; border-bottom: 1px solid #767676; }}
</style>
</head>
<body>
<h1>{title}</h1>
<div>{table}</div>
<p>Accuracy with its 95 % Wilson interval on n hidden pictures; p is the exact McNemar test against the first row. With
intervals that overlap this much, a rank is not a proof.</p>
</body>
</html>
"""


def found(submissions: Path) -> dict[str, Path]:
    """The submissions below a folder: name -> file, sorted by name.

    Args:
        submissions: a folder of `NAME.csv` files or of folders `NAME/submission.csv`, or a single file.

    Raises:
        FileNotFoundError: if the folder is not there, or holds no submission.
        ValueError: if one name has both a file and a folder.
    """
    if submissions.is_file():
        return {submissions.stem: submissions}
    if not submissions.is_dir():
        raise FileNotFoundError(f"there is no {submissions}; give a folder of submissions, or one file")
    files = {path.stem: path for path in submissions.glob("*.csv")}
    folders = {path.parent.name: path for path in submissions.glob("*/submission.csv")}
    twice = sorted(set(files) & set(folders))
    if twice:
        raise ValueError(
            f"{submissions} holds two submissions of {_few(twice)}: a file and a folder, such as "
            f"{files[twice[0]].name} and {twice[0]}/{folders[twice[0]].name}; keep the one that counts"
        )
    files |= folders
    if not files:
        raise FileNotFoundError(
            f"{submissions} holds no NAME.csv and no NAME/submission.csv; collect the hand-ins there"
        )
    return dict(sorted(files.items()))


def _rows(path: Path) -> list[tuple[str, str]]:
    """The rows below the header, stripped of spaces at the ends; empty lines are left out."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; write your submission first, with the header id,label")
    name = str(path)
    if path.stat().st_size > LARGEST_BYTES:
        raise SubmissionError(
            name, [f"it has {path.stat().st_size:,} bytes, more than {LARGEST_BYTES:,}: no submission"]
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")  # a byte order mark, as Excel writes it, does no harm
    except UnicodeDecodeError as error:
        raise SubmissionError(
            name, [f"it is not UTF-8 (byte {error.start}: 0x{error.object[error.start]:02x}); save it as CSV UTF-8"]
        ) from None
    try:
        lines = [[cell.strip() for cell in line] for line in csv.reader(io.StringIO(text, newline=""), strict=True)]
    except csv.Error as error:
        raise SubmissionError(
            name, [f"it is no CSV file ({error}); write it with pandas: to_csv(index=False)"]
        ) from None
    lines = [line for line in lines if any(line)]
    if not lines:
        raise SubmissionError(name, ["it is empty; write the header id,label and one row per picture"])
    problems = _header_problems(lines[0])
    if problems:
        raise SubmissionError(name, problems)
    odd = [number for number, line in enumerate(lines[1:], start=2) if len(line) != 2]
    if odd:
        raise SubmissionError(
            name, [f"rows {_few(odd)} have another number of cells than 2; each is one id and one label"]
        )
    return [(one, label) for one, label in lines[1:]]


def _header_problems(first: Sequence[str]) -> list[str]:
    shown = ",".join(first)
    if tuple(first) == HEADER:
        return []
    if sorted(first) == sorted(HEADER):
        return [f"the columns are in the order {shown!r}; write them as 'id,label'"]
    if len(first) == 1 and first[0].replace(";", ",").replace("\t", ",") == "id,label":
        return [f"the cells are separated by {first[0][2]!r}; separate them by commas"]
    if len(first) == 3 and tuple(first[1:]) == HEADER:
        return [f"the header is {shown!r}: there is a column in front; write with to_csv(index=False)"]
    return [f"the header is {shown[:80]!r}; the first line has to be 'id,label'"]


def _repeated(ids: Sequence[str]) -> list[str]:
    twice = [one for one, times in Counter(ids).items() if times > 1]
    return [f"{len(twice)} ids come more than once: {_few(twice)}; give one answer to each"] if twice else []


def _missing(ids: Sequence[str], given: Sequence[str]) -> list[str]:
    left = set(given)
    absent = [one for one in ids if one not in left]
    return [f"{len(absent)} of {len(ids)} ids are missing: {_few(absent)}; answer every picture"] if absent else []


def _unknown(given: Sequence[str], ids: Sequence[str]) -> list[str]:
    known = set(ids)
    strange = [one for one in given if one not in known]
    return [f"{len(strange)} ids are not in the hidden set: {_few(strange)}; copy them as they are"] if strange else []


def _wrong_labels(rows: Sequence[tuple[str, str]], classes: Sequence[str]) -> list[str]:
    wrong = Counter(label for _, label in rows if label not in classes)
    if not wrong:
        return []
    label, times = wrong.most_common(1)[0]
    near = difflib.get_close_matches(label.lower(), classes, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return [
        f"{sum(wrong.values())} labels are unknown, most often {label!r} ({times} times); the labels are "
        f"{', '.join(classes)}{hint}"
    ]


def _few(names: Sequence[object]) -> str:
    shown = ", ".join(str(one)[:40] for one in names[:_SHOWN])
    return shown + (", …" if len(names) > _SHOWN else "")


def _against(first: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return stats.mcnemar(int((first & ~other).sum()), int((other & ~first).sum()))
