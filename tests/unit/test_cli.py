"""The commands, as a user calls them: exit codes, one clear line for a mistake, logs that are complete."""

import hashlib
import http.server
import subprocess
import sys
import threading
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from clslab import cli, train
from clslab.commands import transfer
from clslab.data import catalog, download
from clslab.models.transfer import build

COLOURS = {"blue": (40, 60, 200), "red": (200, 60, 40)}


@pytest.fixture(autouse=True)
def one_thread():
    """Networks as small as these are many times slower when two processes fight over two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw(folder, per_class, *, seed=0):
    """Class folders of noisy squares in the class's colour."""
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            noise = rng.integers(-30, 30, (40, 40, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def divided(tmp_path):
    for seed, (split, count) in enumerate({"train": 8, "val": 4, "test": 5}.items()):
        draw(tmp_path / "pictures" / split, count, seed=seed)
    return tmp_path / "pictures"


def call(*arguments):
    return cli.main([str(argument) for argument in arguments])


def run_transfer(folder, log, *options):
    return call("transfer", folder, log, "--epochs", 2, "--image-size", 32, "--batch-size", 4, *options)


# ---------------------------------------------------------------------------------------- transfer


def test_a_divided_folder_from_end_to_end(divided, tmp_path, capsys):
    log = tmp_path / "runs" / "one.log"
    assert run_transfer(divided, log) == 0
    out = capsys.readouterr().out
    assert log.read_text(encoding="utf-8") == out
    lines = out.splitlines()
    assert lines[0].startswith("machine: ")
    assert "classes: blue, red" in lines
    assert any(line.startswith("train 16 pictures: blue 8, red 8") for line in lines)
    assert any("trained: the head, 2,562 of " in line for line in lines)
    assert sum(line.startswith("epoch ") for line in lines) == 2
    assert any(line.startswith("best val accuracy: ") and "95 % interval" in line for line in lines)
    assert sum(line.startswith("test accuracy") for line in lines) == 1
    assert lines[-1].startswith("time: ")


def test_the_saved_weights_can_be_used(divided, tmp_path):
    assert run_transfer(divided, tmp_path / "one.log") == 0
    saved = torch.load(tmp_path / "one.pt", weights_only=True)
    assert saved["classes"] == ["blue", "red"]
    model = build(saved["backbone"], num_classes=2, pretrained=False)
    model.load_state_dict(saved["state_dict"])
    assert 'data = "pictures"' in saved["recipe"]


def test_a_folder_of_objects_is_split_by_object(tmp_path, capsys):
    for thing in range(10):
        draw(tmp_path / "drawn", 2, seed=thing)
        for name in COLOURS:
            (tmp_path / "mine" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "drawn" / name).rename(tmp_path / "mine" / name / f"thing {thing}")
    assert run_transfer(tmp_path / "mine", tmp_path / "log.txt") == 0
    out = capsys.readouterr().out
    assert "the pictures are split by object, 60/20/20, with seed 0" in out
    assert "at random" not in out
    assert "train 24 pictures: blue 12, red 12" in out  # of ten things of either colour, two pictures of each
    assert "test accuracy" in out


def test_an_undivided_folder_is_split_and_says_so(tmp_path, capsys):
    draw(tmp_path / "mine", 10)
    assert run_transfer(tmp_path / "mine", tmp_path / "log.txt") == 0
    out = capsys.readouterr().out
    assert (tmp_path / "log.txt").read_text(encoding="utf-8") == out
    assert "20 pictures are split at random" in out
    assert "Warning: if several pictures show one object" in out
    assert "train 12 pictures: blue 6, red 6" in out
    assert "val   4 pictures" in out
    assert "test accuracy" in out


def test_a_folder_without_test_reports_no_test(divided, tmp_path, capsys):
    (divided / "test").rename(tmp_path / "elsewhere")
    assert run_transfer(divided, tmp_path / "log.txt", "--train", "scratch") == 0
    out = capsys.readouterr().out
    assert "test accuracy" not in out
    assert "random weights; trained: every layer" in out


def test_a_batch_larger_than_the_set_and_a_last_batch_of_one(divided, tmp_path, capsys):
    assert run_transfer(divided, tmp_path / "a.log", "--batch-size", 500) == 0
    assert run_transfer(divided, tmp_path / "b.log", "--batch-size", 5, "--train", "all", "--epochs", 1) == 0
    assert "batch 500" in capsys.readouterr().out


def test_ctrl_c_keeps_the_best_weights_and_resume_goes_on(divided, tmp_path, capsys, monkeypatch):
    kept, log = tmp_path / "kept.pt", tmp_path / "one.log"
    fit = train.fit

    def stopped_in_epoch_two(*positional, on_epoch, **named):
        def say(record):
            on_epoch(record)
            if record["epoch"] == 2:
                raise KeyboardInterrupt

        return fit(*positional, on_epoch=say, **named)

    monkeypatch.setattr(train, "fit", stopped_in_epoch_two)
    assert run_transfer(divided, log, "--epochs", 3, "--checkpoint", kept) == 130
    first = capsys.readouterr().out
    assert "Stopped by Ctrl-C after 2 epochs; the best weights so far are in" in first
    assert f"--resume {kept}" in first
    assert (tmp_path / "one.pt").exists()
    monkeypatch.undo()
    monkeypatch.setenv("CLSLAB_PRECISION", "bf16")  # another machine now; the run goes on as it began
    assert run_transfer(divided, log, "--epochs", 3, "--resume", kept) == 0
    second = capsys.readouterr().out
    assert log.read_text(encoding="utf-8") == first + second
    assert "epoch  1/3" not in second
    assert "epoch  3/3" in second
    machines = [line for line in (first + second).splitlines() if line.startswith("machine: ")]
    assert len(machines) == 2
    assert machines[0] == machines[1]


def test_ctrl_c_before_the_first_epoch_ends_saves_nothing(divided, tmp_path, capsys, monkeypatch):
    def stop(*_, **__):
        return train.History(stopped="interrupted")

    monkeypatch.setattr(train, "fit", stop)
    assert run_transfer(divided, tmp_path / "one.log") == 130
    assert "nothing is saved" in capsys.readouterr().out
    assert not (tmp_path / "one.pt").exists()


def test_the_sources_settings():
    def settings(*options):
        args = cli.parser().parse_args(["transfer", "data", "log", *options])
        return transfer.recipe_of(args, 224)

    source = settings("--source-settings")
    assert (source.batch_size, source.epochs, source.lr) == (4, 10, 0.001)
    assert (source.optimizer, source.optimizer_options) == ("sgd", {"momentum": 0.9})
    assert (source.schedule, source.schedule_options) == ("step", {"step_size": 7, "gamma": 0.1})
    assert settings("--source-settings", "--lr", "0.01").lr == 0.01
    assert (settings().batch_size, settings("--train", "all").lr) == (32, 1e-4)


def test_the_sources_settings_run(divided, tmp_path, capsys):
    assert run_transfer(divided, tmp_path / "log.txt", "--source-settings", "--epochs", 1) == 0
    assert "sgd at lr 0.001, step schedule" in capsys.readouterr().out


def fails(capsys, folder, log, *options):
    """The message of a transfer that must fail with exit code 2 and without a traceback."""
    assert run_transfer(folder, log, *options) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err
    if log.is_file():
        assert log.read_text(encoding="utf-8") == captured.out + captured.err
    return captured.err


def test_an_unknown_path(tmp_path, capsys):
    assert "there is no folder" in fails(capsys, tmp_path / "nowhere", tmp_path / "log.txt")


def test_a_corrupt_picture_is_named_before_training(divided, tmp_path, capsys):
    (divided / "test" / "red" / "2.png").write_bytes(b"no picture")
    message = fails(capsys, divided, tmp_path / "log.txt")
    assert str(divided / "test" / "red" / "2.png") in message
    assert "epoch" not in (tmp_path / "log.txt").read_text(encoding="utf-8")


def test_an_empty_class_folder(divided, tmp_path, capsys):
    (divided / "train" / "green").mkdir()
    assert "green" in fails(capsys, divided, tmp_path / "log.txt")


def test_classes_that_differ_between_splits(divided, tmp_path, capsys):
    (divided / "val" / "red").rename(divided / "val" / "rot")
    message = fails(capsys, divided, tmp_path / "log.txt")
    assert "rot" in message
    assert "red" in message


def test_one_class(tmp_path, capsys):
    draw(tmp_path / "mine", 4)
    (tmp_path / "mine" / "red").rename(tmp_path / "red")
    assert "at least two" in fails(capsys, tmp_path / "mine", tmp_path / "log.txt")


def test_train_without_val(divided, tmp_path, capsys):
    (divided / "val").rename(tmp_path / "val")
    assert "needs train/ and val/" in fails(capsys, divided, tmp_path / "log.txt")


def test_too_few_pictures_to_split(tmp_path, capsys):
    draw(tmp_path / "mine", 1)
    message = fails(capsys, tmp_path / "mine", tmp_path / "log.txt")
    assert "2 item(s) are too few" in message


def test_wrong_options(divided, tmp_path, capsys):
    assert "known are efficientnet_lite0" in fails(capsys, divided, tmp_path / "a.log", "--backbone", "resnet9000")
    assert "batch_size" in fails(capsys, divided, tmp_path / "a.log", "--batch-size", 0)
    assert "lr" in fails(capsys, divided, tmp_path / "a.log", "--lr", -1)
    assert "no checkpoint" in fails(capsys, divided, tmp_path / "b.log", "--resume", tmp_path / "none.pt")


def test_a_log_file_that_cannot_be_one(divided, tmp_path, capsys):
    assert "is a folder" in fails(capsys, divided, tmp_path)
    assert "overwritten by the weights" in fails(capsys, divided, tmp_path / "log.pt")
    for option in ("--checkpoint", "--resume"):
        told = fails(capsys, divided, tmp_path / "run.log", option, tmp_path / "sub" / ".." / "run.pt")
        assert "overwritten by the weights" in told


def test_traceback_on_request(tmp_path):
    with pytest.raises(FileNotFoundError):
        call("--traceback", "transfer", tmp_path / "nowhere", tmp_path / "log.txt")


# -------------------------------------------------------------------------------------------- data


def test_data_list_names_every_set_and_where_it_is(tmp_path, capsys):
    for part in ("train", "val", "test"):
        (tmp_path / "debris" / part).mkdir(parents=True)
    (tmp_path / "debris" / "labels.csv").touch()
    assert call("data", "list", "--root", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines[2 : 2 + len(catalog.ENTRIES)]}
    assert sorted(rows) == sorted(catalog.ENTRIES)
    assert str(tmp_path / "debris") in rows["debris"]
    assert "MIT" in rows["debris"]
    assert "clslab data get pets" in rows["pets"]
    assert "clslab data get birds --species" in rows["birds"]


def test_data_get_of_an_unknown_set(capsys):
    assert call("data", "get", "debri") == 2
    assert "Did you mean 'debris'?" in capsys.readouterr().err


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder served on this machine: (folder, address)."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def entry_for(archive, address):
    """The entry of debris, changed to fetch this archive."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    size = archive.stat().st_size
    made = catalog.Archive(archive.name, (f"{address}/{archive.name}",), digest, size, "this test")
    return catalog.Entry(**{**catalog.ENTRIES["debris"].__dict__, "archives": (made,)})


def test_data_get_fetches_and_lays_out(served, tmp_path, capsys, monkeypatch):
    folder, address = served
    rows = [
        {"file": f"{split}/plastic/plastic{number}.jpg", "label": "plastic", "material": "plastic", "split": split}
        for number, split in enumerate(("train", "val", "test"), 1)
    ]
    Image.new("RGB", (512, 384), (90, 90, 90)).save(tmp_path / "grey.jpg")
    with zipfile.ZipFile(folder / "small.zip", "w") as bundle:
        for number in (1, 2, 3):
            bundle.write(tmp_path / "grey.jpg", f"dataset-resized/plastic/plastic{number}.jpg")
    monkeypatch.setitem(catalog.ENTRIES, "debris", entry_for(folder / "small.zip", address))
    monkeypatch.setattr(download, "_listed", lambda _name: rows)
    assert call("data", "get", "debris", "--root", tmp_path / "root") == 0
    captured = capsys.readouterr()
    assert "debris is ready in" in captured.out
    assert "small.zip: 100%" in captured.err
    assert len(list((tmp_path / "root" / "debris").glob("*/plastic/*.jpg"))) == 3


def test_data_get_refuses_an_archive_that_climbs_out(served, tmp_path, capsys, monkeypatch):
    folder, address = served
    with zipfile.ZipFile(folder / "evil.zip", "w") as bundle:
        bundle.writestr("../../evil.txt", "here I am")
    monkeypatch.setitem(catalog.ENTRIES, "debris", entry_for(folder / "evil.zip", address))
    assert call("data", "get", "debris", "--root", tmp_path / "root") == 2
    assert "outside its folder" in capsys.readouterr().err
    assert not list(tmp_path.rglob("evil.txt"))
    assert not (tmp_path / "root" / "debris").exists()


def test_data_get_stopped_by_ctrl_c_says_what_is_kept(served, tmp_path, capsys, monkeypatch):
    folder, address = served
    (folder / "big.zip").write_bytes(b"x" * 200_000)
    monkeypatch.setitem(catalog.ENTRIES, "debris", entry_for(folder / "big.zip", address))

    def stop(_bar, _n=1):
        raise KeyboardInterrupt

    monkeypatch.setattr(download.tqdm, "update", stop)
    assert call("data", "get", "debris", "--root", tmp_path / "root") == 130
    captured = capsys.readouterr()
    assert "bytes of big.zip are kept" in captured.out
    assert "Stopped by Ctrl-C" in captured.err


# ------------------------------------------------------------------------------------------ program


def test_python_m_clslab_and_its_help():
    done = subprocess.run([sys.executable, "-m", "clslab", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for command in ("data", "transfer", "sweep"):
        assert command in done.stdout
    nothing = subprocess.run([sys.executable, "-m", "clslab"], capture_output=True, text=True)
    assert nothing.returncode == 2
    assert "usage:" in nothing.stderr
