"""A competition: what is wrong with a file is named, what is right is scored, and the board says how sure it is."""

import numpy as np
import pandas as pd
import pytest

from clslab import cli, competition, stats

IDS = [f"{number:04d}" for number in range(200)]
LABELS = {one: ("cat", "dog")[number % 2] for number, one in enumerate(IDS)}


def written(path, rows, header="id,label"):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [header, *(",".join(row) for row in rows)] if header else [",".join(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def with_errors(count):
    """Answers of which the first `count` are wrong."""
    other = {"cat": "dog", "dog": "cat"}
    return [(one, other[label] if number < count else label) for number, (one, label) in enumerate(LABELS.items())]


@pytest.fixture
def truth_file(tmp_path):
    return written(tmp_path / "truth.csv", LABELS.items())


@pytest.fixture
def truth(truth_file):
    return competition.read_truth(truth_file, public_share=0.5)


def answers(path):
    return competition.read_answers(path, IDS, ("cat", "dog"))


# ------------------------------------------------------------------------------------------- personal parts


def test_a_personal_part_is_the_same_for_one_student_and_another_for_the_next():
    mine = competition.personal_part(IDS, "20231234", 40)
    assert mine == competition.personal_part(IDS[::-1], " 20231234 ", 40)
    assert len(set(mine)) == 40
    assert set(mine) <= set(IDS)
    assert mine == sorted(mine)
    theirs = competition.personal_part(IDS, "20231235", 40)
    assert len(set(mine) & set(theirs)) < 25  # 8 of 40 by chance


def test_a_larger_personal_part_holds_the_smaller_one():
    assert set(competition.personal_part(IDS, "x", 10)) < set(competition.personal_part(IDS, "x", 20))


@pytest.mark.parametrize(
    ("ids", "student", "size", "match"),
    [
        (IDS, "  ", 10, "student is empty"),
        (IDS, "x", 0, "size is 0"),
        (IDS, "x", 201, "give 1 to 200"),
        (["a", "a"], "x", 1, "come more than once"),
    ],
)
def test_an_impossible_personal_part_is_refused(ids, student, size, match):
    with pytest.raises(ValueError, match=match):
        competition.personal_part(ids, student, size)


# ------------------------------------------------------------------------------------------- reading


def test_answers_come_in_the_order_of_the_ids_whatever_the_order_of_the_rows(tmp_path):
    path = written(tmp_path / "mine.csv", reversed(with_errors(3)))
    assert answers(path) == [label for _, label in with_errors(3)]


@pytest.mark.parametrize(
    "change", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n"), lambda t: t + "\n\n"]
)
def test_what_spreadsheets_add_does_no_harm(tmp_path, change):
    path = written(tmp_path / "mine.csv", LABELS.items())
    path.write_bytes(change(path.read_text()).encode())
    assert answers(path) == list(LABELS.values())


def semicolons(path):
    path.write_text("id;label\n" + "\n".join(";".join(row) for row in LABELS.items()))


WRONG = {
    "empty": (lambda path: path.write_text(""), "it is empty"),
    "a header only": (lambda path: written(path, []), "200 of 200 ids are missing: 0000, 0001, 0002, 0003, 0004, …"),
    "no header": (lambda path: written(path, LABELS.items(), header=None), "the header is '0000,cat'"),
    "columns in another order": (
        lambda path: written(path, [row[::-1] for row in LABELS.items()], header="label,id"),
        "the columns are in the order 'label,id'",
    ),
    "semicolons": (semicolons, "separated by ';'"),
    "an index column": (
        lambda path: written(path, [("0", *row) for row in LABELS.items()], header=",id,label"),
        "a column in front",
    ),
    "three cells": (lambda path: written(path, [*LABELS.items(), ("x", "cat", "?")]), "rows 202 have another number"),
    "an id twice": (lambda path: written(path, [*LABELS.items(), ("0007", "cat")]), "1 ids come more than once: 0007"),
    "an id missing": (lambda path: written(path, list(LABELS.items())[1:]), "1 of 200 ids are missing: 0000"),
    "an unknown id": (
        lambda path: written(path, [*LABELS.items(), ("9999", "cat")]),
        "1 ids are not in the hidden set",
    ),
    "a wrong label": (
        lambda path: written(path, [(one, label.title()) for one, label in LABELS.items()]),
        "200 labels are unknown, most often 'Cat' (100 times); the labels are cat, dog; did you mean 'cat'?",
    ),
    "another encoding": (
        lambda path: path.write_bytes("id,label\n0000,Kätzchen\n".encode("latin-1")),
        "it is not UTF-8 (byte 15: 0xe4)",
    ),
    "zero bytes": (lambda path: path.write_bytes(b"id,label\n0000,\x00cat\n"), "labels are unknown"),
    "an open quote": (lambda path: path.write_text('id,label\n0000,"cat\n'), "it is no CSV file"),
    "a huge file": (lambda path: path.write_bytes(b"x" * (competition.LARGEST_BYTES + 1)), "more than 20,000,000"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(tmp_path, name):
    make, words = WRONG[name]
    make(tmp_path / "mine.csv")
    with pytest.raises(competition.SubmissionError) as caught:
        answers(tmp_path / "mine.csv")
    assert words in str(caught.value)
    assert str(tmp_path / "mine.csv") in str(caught.value)


def test_all_problems_are_told_at_once(tmp_path):
    rows = [("0000", "cow"), *list(LABELS.items())[2:], ("0002", "cat"), ("new", "dog")]
    with pytest.raises(competition.SubmissionError) as caught:
        answers(written(tmp_path / "mine.csv", rows))
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "1 ids come more than once",
        "1 of 200 ids are missing",
        "1 ids are not in the hidden set",
        "1 labels are unknown, most often 'cow' (1 times); the labels are cat, dog",
    ]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="write your submission first"):
        answers(tmp_path / "absent.csv")


# ------------------------------------------------------------------------------------------- the two parts


def test_the_parts_depend_on_ids_and_salt_alone(tmp_path, truth_file):
    one, other = (competition.read_truth(truth_file, public_share=0.3, salt=salt).public for salt in ("a", "b"))
    turned = competition.read_truth(written(tmp_path / "t.csv", reversed(LABELS.items())), public_share=0.3, salt="a")
    assert np.array_equal(turned.public[::-1], one)
    assert not np.array_equal(one, other)
    # Binomial: 200 draws of probability .3, four standard deviations.
    assert abs(one.sum() - 60) < 26
    assert abs(other.sum() - 60) < 26


def test_a_larger_public_part_holds_the_smaller_one(truth_file):
    small, large = (competition.read_truth(truth_file, public_share=share).public for share in (0.2, 0.6))
    assert (large | ~small).all()
    assert large.sum() > small.sum()


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_out_of_range_is_refused(truth_file, share):
    with pytest.raises(ValueError, match=f"public_share is {share}"):
        competition.read_truth(truth_file, public_share=share)


@pytest.mark.parametrize(("share", "private", "word"), [(0, False, "public"), (1, True, "private")])
def test_an_empty_part_has_no_board(truth_file, share, private, word):
    truth = competition.read_truth(truth_file, public_share=share)
    with pytest.raises(ValueError, match=f"the {word} part of the 200 hidden items is empty"):
        competition.leaderboard([], truth, private=private)


# ------------------------------------------------------------------------------------------- the board


@pytest.fixture
def hand_ins(tmp_path):
    folder = tmp_path / "hand-ins"
    for name, errors in {"ada": 0, "ben": 60, "cai": 60}.items():
        written(folder / f"{name}.csv", with_errors(errors))
    written(folder / "dot" / "submission.csv", with_errors(120))
    written(folder / "eve.csv", list(LABELS.items())[5:])
    return folder


def test_the_board_has_every_submission_the_best_first(hand_ins, truth):
    board = competition.leaderboard(competition.score(hand_ins, truth), truth)
    assert board["name"].tolist() == ["ada", "ben", "cai", "dot", "eve"]
    assert board["rank"].tolist() == [1, 2, 2, 4, 0]
    assert board["note"].tolist()[-1].startswith("not scored: 5 of 200 ids are missing")
    n = int(truth.public.sum())
    wrong = int(truth.public[:60].sum())
    ben = board.iloc[1]
    assert (ben["accuracy"], ben["n"]) == (pytest.approx(1 - wrong / n), n)
    assert (ben["low"], ben["high"]) == pytest.approx(stats.wilson(n - wrong, n))
    assert ben["p"] == pytest.approx(stats.mcnemar(wrong, 0))
    assert board.iloc[0]["p"] == 1


def test_both_parts_together_are_the_whole(hand_ins, truth):
    entries = competition.score(hand_ins, truth)
    right = [
        board.set_index("name")["accuracy"] * board.set_index("name")["n"]
        for board in (competition.leaderboard(entries, truth, private=private) for private in (False, True))
    ]
    assert (right[0] + right[1])[["ada", "ben", "dot"]].tolist() == pytest.approx([200, 140, 80])


def test_a_name_cannot_bring_code_into_the_page(tmp_path, truth):
    named = competition.Entry("<b>bold", np.ones(len(IDS), dtype=bool))
    board = competition.leaderboard([named], truth)
    table, page = competition.write_leaderboard(board, tmp_path / "out", title="Leaderboard")
    assert "&lt;b&gt;bold" in page.read_text(encoding="utf-8")
    assert "<b>" not in page.read_text(encoding="utf-8")
    assert pd.read_csv(table)["name"].tolist() == ["<b>bold"]


def test_a_folder_without_submissions_is_an_error(tmp_path, truth):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="collect the hand-ins there"):
        competition.score(tmp_path / "empty", truth)
    with pytest.raises(FileNotFoundError, match="give a folder"):
        competition.score(tmp_path / "absent", truth)


# ------------------------------------------------------------------------------------------- the command


def call(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_the_command_writes_the_board(hand_ins, truth_file, tmp_path, capsys):
    assert call("score", hand_ins, truth_file, "--out", tmp_path / "board", "--private") == 0
    shown = capsys.readouterr().out
    board = pd.read_csv(tmp_path / "board" / "leaderboard.csv")
    assert board["name"].tolist() == ["ada", "ben", "cai", "dot", "eve"]
    assert "Leaderboard, private part" in (tmp_path / "board" / "leaderboard.html").read_text(encoding="utf-8")
    assert f"written: {tmp_path / 'board' / 'leaderboard.csv'}" in shown


def test_a_student_checks_a_file_without_the_truth(hand_ins, tmp_path, capsys):
    sample = written(tmp_path / "sample_submission.csv", [(one, "cat") for one in IDS])
    assert call("score", hand_ins / "ada.csv", sample, "--check", "--classes", "cat", "dog") == 0
    assert capsys.readouterr().out == "ada: valid, 200 answers\n"
    assert call("score", hand_ins / "eve.csv", sample, "--check", "--classes", "cat", "dog") == 1
    assert "eve: not valid\n  - 5 of 200 ids are missing" in capsys.readouterr().out


def test_two_submissions_of_one_name_are_refused(hand_ins, truth, tmp_path, capsys):
    written(hand_ins / "ada" / "submission.csv", with_errors(3))
    with pytest.raises(ValueError, match=r"two submissions of ada: .*ada\.csv and ada/submission\.csv; keep the one"):
        competition.score(hand_ins, truth)
    assert call("score", hand_ins, written(tmp_path / "truth.csv", LABELS.items())) == cli.EXIT_MISTAKE
    assert "two submissions of ada" in capsys.readouterr().err


def test_a_broken_truth_is_told(hand_ins, tmp_path, capsys):
    truth = written(tmp_path / "truth.csv", [*LABELS.items(), ("0000", "cat")])
    assert call("score", hand_ins, truth) == cli.EXIT_MISTAKE
    assert "1 ids come more than once: 0000" in capsys.readouterr().err
