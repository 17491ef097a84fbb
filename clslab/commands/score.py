"""`python -m clslab score SUBMISSIONS TRUTH.csv`: a leaderboard for a competition, or a check of one's own file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clslab import competition

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

EXIT_INVALID = 1


def register(subparsers: Subparsers) -> None:
    """Add `score`."""
    command = subparsers.add_parser(
        "score",
        help="score submissions of a competition, or check one",
        description="Scores every submission of a folder against hidden labels and writes a leaderboard as CSV and as "
        "a page. A submission that cannot be scored is listed with the reason. With --check a student finds out "
        "whether a file is valid, from the ids of a sample submission; nothing is scored then.",
    )
    add = command.add_argument
    add("submissions", metavar="SUBMISSIONS", type=Path, help="folder of NAME.csv or NAME/submission.csv, or one file")
    add("truth", metavar="TRUTH.csv", type=Path, help="hidden labels, id,label (with --check: a sample submission)")
    add("--check", action="store_true", help="say whether the files are valid, and score nothing")
    add("--classes", nargs="+", metavar="LABEL", help="with --check: the labels allowed (default: those of the sample)")
    add("--out", type=Path, metavar="DIR", help="write leaderboard.csv and leaderboard.html here")
    add("--public-share", type=float, default=0.3, metavar="S", help="share that the public board shows (default 0.3)")
    add("--salt", default="", metavar="TEXT", help="decides which items are public; keep it with the truth")
    add("--private", action="store_true", help="score the private part: at the end of the competition, once")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command: 0 when done; a check is 1 where a file is not valid."""
    from clslab import competition

    truth = competition.read_truth(args.truth, public_share=args.public_share, salt=args.salt)
    if args.check:
        return _check(args.submissions, truth, args.classes)
    entries = competition.score(args.submissions, truth)
    board = competition.leaderboard(entries, truth, private=args.private)
    print(board.to_string(index=False, float_format="{:.4f}".format, na_rep="-"))
    if args.out is not None:
        part = "private" if args.private else "public"
        for path in competition.write_leaderboard(board, args.out, title=f"Leaderboard, {part} part"):
            print(f"written: {path}")
    return 0


def _check(submissions: Path, truth: competition.Truth, classes: list[str] | None) -> int:
    from clslab import competition

    invalid = 0
    for name, path in competition.found(submissions).items():
        try:
            answers = competition.read_answers(path, truth.ids, classes or truth.classes)
        except competition.SubmissionError as error:
            invalid += 1
            print(f"{name}: not valid")
            for problem in error.problems:
                print(f"  - {problem}")
        else:
            print(f"{name}: valid, {len(answers)} answers")
    return EXIT_INVALID if invalid else 0
