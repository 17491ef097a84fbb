import sys

import pytest

from clslab.recipe import Recipe
from clslab.train import Log, fit

RECIPE = Recipe(epochs=2)


def test_a_quiet_fit_prints_nothing(net, loaders, capsys):
    fit(net(), *loaders(), RECIPE)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_all_that_is_printed_is_in_the_file(net, loaders, capsys, tmp_path):
    path = tmp_path / "logs" / "run.log"
    fit(net(), *loaders(), RECIPE, log=path)
    printed = capsys.readouterr().out
    assert path.read_text(encoding="utf-8") == printed
    assert [line.split()[:2] for line in printed.splitlines()] == [["epoch", "1"], ["epoch", "2"]]
    assert "val_accuracy" in printed


def test_an_open_log_stays_open(net, loaders, tmp_path):
    path = tmp_path / "run.log"
    with Log(path, echo=False) as log:
        log("before")
        fit(net(), *loaders(), RECIPE, log=log)
        log("after")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert (lines[0], len(lines), lines[-1]) == ("before", 4, "after")


def test_a_second_run_is_appended(tmp_path):
    for word in ("one", "two"):
        with Log(tmp_path / "run.log", echo=False) as log:
            log(word)
    assert (tmp_path / "run.log").read_text(encoding="utf-8") == "one\ntwo\n"


def test_a_run_without_validation_says_nothing_of_it(net, loaders, capsys, tmp_path):
    fit(net(), loaders()[0], None, RECIPE, log=tmp_path / "run.log")
    assert "val_" not in capsys.readouterr().out


def test_the_bar_goes_to_stderr_only_when_asked(net, loaders, capsys):
    fit(net(), *loaders(), RECIPE, progress=True)
    assert "2/2" in capsys.readouterr().err


def test_tensorboard_gets_every_number(monkeypatch, net, loaders, tmp_path):
    written, closed = [], []

    class Writer:
        def __init__(self, folder):
            assert folder == str(tmp_path)

        def add_scalar(self, name, value, epoch):
            written.append((name, epoch))

        def close(self):
            closed.append(True)

    module = type(sys)("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    fit(net(), *loaders(), RECIPE, tensorboard=tmp_path)
    assert ("val_accuracy", 2) in written
    assert ("train_loss", 1) in written
    assert closed == [True]


def test_without_tensorboard_the_error_says_how_to_get_it(monkeypatch, net, loaders, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"clslab\[tensorboard\]"):
        fit(net(), *loaders(), RECIPE, tensorboard=tmp_path)
