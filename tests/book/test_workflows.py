"""The workflows are what `make` does, on the versions that pyproject admits, with no right that they do not need."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from books import ROOT
from colab import LIST, header
from packaging.requirements import Requirement
from packaging.version import Version

FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
FLOWS = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in FILES}
JOBS = {f"{stem}/{name}": job for stem, flow in FLOWS.items() for name, job in flow["jobs"].items()}
STEPS = [(name, step) for name, job in JOBS.items() for step in job["steps"]]
RUNS = [(name, step["run"]) for name, step in STEPS if "run" in step]

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)[1].split())
MAKE = re.compile(r"make ([a-z-]+)((?: [A-Z]+=\S+| [A-Z]+=\$\{\{ [\w.]+ \}\})*)")

RIGHTS = {
    "publish/deploy": {"pages": "write", "id-token": "write"},
    "publish/student": {"contents": "write"},
}
"""Jobs that may do more than read the repository."""


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """What actionlint says of a folder of workflows."""
    program = Path(sys.executable).with_name("actionlint")
    found = program if program.is_file() else shutil.which("actionlint")
    command = [str(found), "-config-file", str(ROOT / ".github" / "actionlint.yaml"), *map(str, folder.glob("*.yml"))]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_there_is_a_workflow_for_each_purpose():
    assert set(FLOWS) == {"gpu", "links", "publish", "tests", "weekly"}


def test_actionlint_finds_nothing():
    done = lint(FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("timeout-minutes: 120", "tmeout-minutes: 120", "unexpected key"),
        ("${{ matrix.torch.version }}", "${{ matrx.torch.version }}", "undefined variable"),
        ("ubuntu-24.04", "ubuntu-24.40", "is unknown"),
    ],
)
def test_actionlint_would_find_it(tmp_path, old, new, complaint):
    text = (FOLDER / "tests.yml").read_text("utf-8")
    assert old in text
    (tmp_path / "tests.yml").write_text(text.replace(old, new), "utf-8")
    done = lint(tmp_path)
    assert done.returncode == 1
    assert complaint in done.stdout


@pytest.mark.parametrize(("name", "line"), RUNS, ids=[f"{name}: {line}" for name, line in RUNS])
def test_a_step_is_one_goal_of_make_that_exists(name, line):
    match = MAKE.fullmatch(line)
    assert match, f"{name} does more than `make GOAL NAME=VALUE`: {line}"
    assert match[1] in TARGETS
    for variable in re.findall(r"([A-Z]+)=", match[2]):
        assert re.search(rf"\$\({variable}\)|^{variable} =", MAKEFILE, re.MULTILINE), variable


def test_every_goal_has_a_rule():
    rules = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert rules == TARGETS


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_and_may_only_what_it_must(name):
    job, flow = JOBS[name], FLOWS[name.split("/")[0]]
    assert 0 < job["timeout-minutes"] <= 720
    assert flow["permissions"] == {"contents": "read"}
    assert job.get("permissions") == RIGHTS.get(name)
    assert flow["concurrency"]["group"]


def test_actions_are_pinned_and_from_github_itself():
    used = [step["uses"] for _, step in STEPS if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[\w-]+@(v\d+|[0-9a-f]{40})", action), action
    assert len(used) > len(set(used)), "one action in two versions is two actions"
    assert len({action.split("@")[0] for action in used}) == len(set(used))


def test_a_push_is_tested_on_two_pythons_and_two_torches():
    flow = FLOWS["tests"]
    triggers = flow[True]  # YAML 1.1 reads `on` as true
    assert triggers["push"] == {"branches-ignore": ["student"]}
    matrix = JOBS["tests/tests"]["strategy"]["matrix"]
    admitted = [line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert matrix["python"] == [min(admitted, key=Version), max(admitted, key=Version)]
    assert PROJECT["requires-python"] == f">={matrix['python'][0]}"
    lowest = {one.name: str(one.specifier) for one in map(Requirement, PROJECT["dependencies"])}
    pinned = dict(
        re.findall(r"^(torch|torchvision)==(.+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    )
    old, new = matrix["torch"]
    assert lowest["torch"] == f">={old['version'].removesuffix('.0')}"
    assert lowest["torchvision"] == f">={old['vision'].removesuffix('.0')}"
    assert new == {"version": pinned["torch"], "vision": pinned["torchvision"]}
    goals = [line.split()[1] for job, line in RUNS if job == "tests/tests"]
    assert goals == ["install", "browser", "test"]


def test_the_other_workflows_do_what_they_are_for():
    of = {name: [line.split()[1] for job, line in RUNS if job == name] for name in JOBS}
    gpu = JOBS["gpu/chapters"]
    assert gpu["runs-on"] == ["self-hosted", "linux", "gpu"]
    assert gpu["env"] == {"CLSLAB_PROFILE": "gpu"}
    assert of["gpu/chapters"] == ["install", "chapters-gpu", "bench"]
    kept = next(step["with"]["path"] for _, step in STEPS if "upload-artifact" in step.get("uses", ""))
    assert "book/results/benchmarks" in kept.split()
    assert of["publish/site"] == ["install", "browser", "publish", "site-check", "pdf"]
    assert ("publish/site", "make site-check SITE=_build/public/_build/html BROWSER=required") in RUNS
    assert ("publish/site", "make pdf PUBLIC=1") in RUNS
    assert of["publish/student"] == ["install", "student", "student-branch"]
    assert FLOWS["publish"][True]["push"] == {"branches": ["main"]}
    assert ("weekly/newest", "make install CONSTRAINTS=/dev/null") in RUNS
    assert of["weekly/newest"] == ["install", "versions", "browser", "test", "book"]
    assert of["weekly/colab"] == ["install", "colab", "colab-venv"]
    assert of["weekly/image"] == ["image"]
    pythons = [step["with"]["python-version"] for job, step in STEPS if job == "weekly/colab" and "with" in step]
    assert pythons == [".".join(header(LIST.read_text("utf-8"))["python"].split(".")[:2])]
    assert "links" in of["links/links"]
    for name in ("weekly", "links"):
        assert len(FLOWS[name][True]["schedule"]) == 1


def test_a_machine_without_site_and_data_can_record_the_benchmarks_that_make_runs():
    """A GPU machine has installed the book and run its chapters, and no more."""
    skipped = re.search(r"case \$\$script in (.*?)\) continue", (ROOT / "Makefile").read_text("utf-8"))
    assert skipped is not None
    apart = {Path(one).stem for one in skipped[1].split("|")}
    needy = {
        path.stem
        for path in (ROOT / "benchmarks").glob("*.py")
        if re.search(r'"_build"|data\.load\(|git", "clone', path.read_text("utf-8"))
    }
    assert needy | {"interleaved"} == apart


def made(*goals: str) -> str:
    """The commands that make would run."""
    command = ["make", "--dry-run", "--always-make", "--no-print-directory", *goals]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_pages_are_opened_in_a_browser_after_the_site_was_built():
    commands = made("test")
    assert commands.index("book.tools.build --output _build/smoke") < commands.index(" tests/site ")


def test_make_changes_the_versions_that_it_is_told(tmp_path):
    (sed,) = re.findall(r"^sed .+\\\n.+> ", made("install", "TORCH=2.9.0", "TORCHVISION=0.24.0"), re.MULTILINE)
    done = subprocess.run(["sh", "-c", sed.removesuffix("> ")], cwd=ROOT, capture_output=True, text=True, check=True)
    before = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    changed = set(done.stdout.splitlines()) - set(before)
    assert changed == {"torch==2.9.0", "torchvision==0.24.0"}
    assert len(done.stdout.splitlines()) == len(before)
    assert "constraints.txt > .venv/constraints.txt" in made("install")
    assert "/dev/null > .venv/constraints.txt" in made("install", "CONSTRAINTS=/dev/null")
    assert "run.py --profile gpu --jobs 1 --report a.xml" in made("chapters-gpu", "REPORT=a.xml")


def test_no_benchmark_hides_a_package_by_its_name():
    """A script's folder comes first on the path of what it imports."""
    names = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert not names & {"book", "clslab", "tests"}
