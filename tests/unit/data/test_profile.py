import os
import subprocess
import sys

import pytest

import clslab
from clslab import profile


@pytest.mark.parametrize("name", ["smoke", "cpu", "gpu"])
def test_the_variable_decides(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLSLAB_PROFILE", name)
    assert profile.current() == name
    assert profile.pick(smoke="smoke", cpu="cpu", gpu="gpu") == name


def test_an_unknown_profile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLSLAB_PROFILE", "tpu")
    with pytest.raises(ValueError, match=r"'tpu'.*smoke, cpu, gpu"):
        profile.current()


@pytest.mark.parametrize(("cuda", "expected"), [(True, "gpu"), (False, "cpu")])
def test_without_it_the_machine_decides(cuda: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLSLAB_PROFILE")
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    assert profile.current() == expected


def test_without_torch_it_is_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLSLAB_PROFILE", " ")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert profile.current() == "cpu"


def test_importing_the_library_and_its_data_loads_no_torch() -> None:
    code = "import sys, clslab, clslab.profile, clslab.data; clslab.profile.current(); print('torch' in sys.modules)"
    environment = os.environ | {"CLSLAB_PROFILE": "cpu"}
    ran = subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True)
    assert ran.stdout.strip() == "False"


def test_version() -> None:
    assert clslab.__version__ == "0.1.0"
