"""What the scripts in `benchmarks/` share: ratios of timings in turns, and where their results are kept."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from clslab.device import Machine
from clslab.timing import benchmark_table

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def interleaved(monkeypatch, tmp_path):
    """The module as the scripts import it, with a folder of its own for records."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import interleaved

    monkeypatch.setattr(interleaved, "RECORDS", tmp_path / "benchmarks")
    return interleaved


def asked(interleaved, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["script.py", *words])
    return interleaved.arguments("What it times.", ("--jobs", {"type": int, "default": 2}))


def test_the_ratio_is_the_median_over_the_pairs(interleaved):
    second = np.linspace(1.0, 2.0, 21)
    ratio = interleaved.Ratio.of(3 * second, second)
    assert (ratio.median, ratio.low, ratio.high, ratio.pairs) == pytest.approx((3, 3, 3, 21))
    assert (ratio.seconds_first, ratio.seconds_second) == pytest.approx((4.5, 1.5))


def test_the_two_ways_take_turns_in_changing_order(interleaved):
    calls = []
    interleaved.compare(lambda: calls.append("a"), lambda: calls.append("b"), pairs=4)
    assert "".join(calls) == "ab" + "abbaabba"  # the first two are the warm-up


@pytest.mark.parametrize(
    ("words", "name"), [([], None), (["--record"], "steps.json"), (["--record=bf16"], "steps@bf16.json")]
)
def test_a_result_is_kept_under_the_kind_of_its_machine(interleaved, monkeypatch, words, name, capsys):
    chosen = asked(interleaved, monkeypatch, *words, "--jobs", "3")
    assert chosen.jobs == 3
    ratio = interleaved.Ratio.of(np.full(21, 2.0), np.ones(21))
    interleaved.report("steps", {"a over b": ratio}, machine=Machine(name="a laptop", threads=1), record=chosen.record)
    assert json.loads(capsys.readouterr().out)["ratios"]["a over b"]["median"] == 2
    kept = sorted(path.name for path in interleaved.RECORDS.glob("*"))
    assert kept == ([] if name is None else [name])
    table = benchmark_table(interleaved.RECORDS, ["steps"])
    assert table["benchmark"].tolist() == ([] if name is None else [Path(name).stem])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--record", "--quick"], "leave one of the two out"),
        (["--record", "A GPU"], "'A GPU' names no kind of machine"),
        (["--record", "../x"], "'../x' names no kind of machine"),
    ],
)
def test_what_cannot_be_recorded_is_refused(interleaved, monkeypatch, words, said, capsys):
    with pytest.raises(SystemExit):
        asked(interleaved, monkeypatch, *words)
    assert said in capsys.readouterr().err
