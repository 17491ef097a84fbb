"""The list of comparisons names what exists, and its verdicts are those of the records."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from clslab import comparisons
from clslab.commands.sweep import SweepFile
from clslab.records import difference, load_runs

ROOT = Path(__file__).resolve().parents[2]
LISTED = comparisons.read(ROOT / "book" / "comparisons.toml")
RESULTS = ROOT / "book" / "results"


def rows_of_sweeps() -> set[str]:
    """Every run that a sweep file of the book describes."""
    files = sorted((ROOT / "book" / "sweeps").glob("*.toml"))
    return {name for path in files for name in SweepFile.read(path.read_text("utf-8")).recipes}


def test_every_run_of_the_list_has_a_row_in_a_sweep():
    rows = rows_of_sweeps()
    named = {name for one in LISTED for name in (one.with_, one.without)}
    assert sorted(named - rows) == []


def test_every_page_of_the_list_is_in_the_book():
    toc = (ROOT / "_toc.yml").read_text("utf-8")
    assert yaml.safe_load(toc)
    assert all(f"file: {one.page}\n" in toc for one in LISTED)


def test_no_comparison_stands_twice():
    pairs = [(one.with_, one.without, one.split) for one in LISTED]
    assert len(pairs) == len(set(pairs))
    assert len({one.what for one in LISTED}) == len(LISTED)


def test_what_a_source_reports_comes_with_source_and_difference():
    for one in LISTED:
        assert (one.reported is None) == (one.source == "") == (one.differs == ""), one.what


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    return comparisons.measure(LISTED, RESULTS)


def test_gains_are_those_of_the_records(measured):
    names = ["catsdogs/homework/adam", "catsdogs/homework/sgd"]
    runs = load_runs(RESULTS, "catsdogs/homework/*")
    place = [(one.with_, one.without) for one in LISTED].index((names[0], names[1]))
    row = measured.iloc[place]
    assert (row.gain, row.low, row.high) == difference(runs[names[0]], runs[names[1]])
    assert row.seeds == min(len(runs[name]) for name in names)
    assert row.n == len(runs[names[0]][0].predictions["test"].ids)


def test_two_ways_to_ask_the_same_networks_are_compared_seed_by_seed(measured):
    names = ("cifar100/ladder/views", "cifar100/ladder/erase")
    a, b = (load_runs(RESULTS, name)[name] for name in names)
    row = measured.iloc[[(one.with_, one.without) for one in LISTED].index(names)]
    assert (row.gain, row.low, row.high) == difference(a, b, same_networks=True)
    assert row.high - row.low < 0.6 * np.ptp(difference(a, b)[1:])


def test_verdicts_follow_the_intervals(measured):
    several = measured[measured["seeds"] > 1]
    assert len(several) > 20, "the records of the book are there"
    expected = np.select([several["low"] > 0, several["high"] < 0], ["helped", "harmed"], default="no clear difference")
    assert list(several["verdict"]) == list(expected)
    assert (several["low"] <= several["gain"]).all()
    assert (several["gain"] <= several["high"]).all()
    rest = measured[measured["seeds"] <= 1]
    assert set(rest["verdict"]) <= {"one seed: no verdict", "not recorded yet"}


def test_missing_runs_are_said_not_invented(tmp_path):
    one = comparisons.Comparison("a", "set/a", "set/b", "chapters/x", reported=(0.8, 0.75), source="s", differs="d")
    row = comparisons.measure([one], tmp_path).iloc[0]
    assert row.verdict == "not recorded yet"
    assert math.isnan(row.gain)
    assert row.seeds == 0
    assert row.reported == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('what = "x"', "needs what, with, without and page"),
        ('what = "x"\nwith = "a"\nwithout = "b"\npage = "p"\nseeds = 3', "seeds"),
        ('what = "x"\nwith = "a"\nwithout = "b"\npage = "p"\nreported = [89.2, 88.5]', "between 0 and 1"),
        ('what = "x"\nwith = "a"\nwithout = "b"\npage = "p"\nreported = [0.9]', "two scores"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, entry, message):
    path = tmp_path / "list.toml"
    path.write_text(f"[[comparison]]\n{entry}\n", "utf-8")
    with pytest.raises(ValueError, match=f"comparison 1.*{message}"):
        comparisons.read(path)
