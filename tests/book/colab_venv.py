"""Chapters in a venv that holds what Colab has: their first cell installs the rest, and the cells below it run.

    python tests/book/colab_venv.py [--folder DIR] [--python python3.12] [PAGE ...]      (make colab-venv)

The venv has Colab's minor version of Python and the recorded packages (`colab_packages.txt`); PyPI's torch of that
version stands for Colab's own build. A page runs as it is, alone in an empty folder, by a kernel that believes it is in
Colab; only the address of the library leads to the newest commit of this repository. Afterwards no recorded package
may have another version. Some gigabytes and minutes; a folder that is named is kept, and is not filled twice.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
from colab import LIST, RENEWED, ROOT, header, installed_by, recorded
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from book.tools.address import address

DEFAULT = ("01_borrowed_features", "A1_many_machines")
"""A chapter of those that have the common first cell, and the page with the longer one."""

IN_COLAB = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"


def filled(folder: Path, python: str) -> Path:
    """The interpreter of a venv with Colab's recorded packages.

    Raises:
        SystemExit: if `python` is of another minor version than Colab's.
        subprocess.CalledProcessError: if pip cannot fill it.
    """
    text = LIST.read_text("utf-8")
    wanted = header(text)["python"].rpartition(".")[0]
    inside = folder / "venv" / "bin" / "python"
    if not (folder / "filled").exists():
        asked = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        found = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
        if found != wanted:
            sys.exit(f"Colab has Python {wanted}, and {python} is {found}; name another one by --python")
        subprocess.run([python, "-m", "venv", "--clear", folder / "venv"], check=True)
        lines = [f"{name}=={version.public}" for name, version in recorded(text).items()]
        (folder / "colab.txt").write_text("\n".join(lines), "utf-8")
        pip(inside, "install", "--quiet", "-r", str(folder / "colab.txt"))
        (folder / "filled").touch()
    return inside


def pip(python: Path, *arguments: str) -> str:
    """Runs the venv's pip, away from this repository: pip would take a library beside it for an installed one."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=python.parent).stdout


def changed(python: Path) -> list[str]:
    """Recorded packages that do not have their recorded version any more."""
    there = {one["name"]: one["version"] for one in json.loads(pip(python, "list", "--format", "json"))}
    versions = recorded("\n".join(f"{name}=={version}" for name, version in there.items()))
    colab = recorded(LIST.read_text("utf-8"))
    return [
        f"{name}: Colab has {version.public}, now {versions.get(name, 'gone')}"
        for name, version in colab.items()
        if name not in RENEWED and (name not in versions or versions[name].public != version.public)
    ]


def as_in_colab(folder: Path, python: Path) -> dict[str, str]:
    """The variables of a kernel that believes it is in Colab, with nothing of this machine's own data."""
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "colab.py").write_text(IN_COLAB, "utf-8")
    kernel = folder / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": command, "display_name": "Colab", "language": "python"}), "utf-8"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLSLAB_", "PYTHON"))}
    return kept | {
        "HOME": str(folder / "home"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_PATH": str(folder / "jupyter"),
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "CLSLAB_PROFILE": "smoke",
        "TQDM_DISABLE": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": address(ROOT),
    }


def run(page: Path, folder: Path, variables: dict[str, str]) -> None:
    """Runs the notebook of a page in an empty folder.

    Raises:
        CellExecutionError: if a cell fails.
    """
    notebook = nbformat.read(page.with_suffix(".ipynb"), as_version=4)
    content = folder / "content"
    shutil.rmtree(content, ignore_errors=True)
    content.mkdir()
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        client = NotebookClient(
            notebook, kernel_name="colab", timeout=1200, resources={"metadata": {"path": str(content)}}
        )
        client.execute()
    finally:
        os.environ.clear()
        os.environ.update(before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `make colab-venv`."""
    parser = argparse.ArgumentParser(description="Run chapters in a venv with Colab's packages.")
    parser.add_argument("pages", nargs="*", default=DEFAULT, metavar="PAGE", help="names of chapters; default: two")
    parser.add_argument("--folder", type=Path, help="where the venv is made and kept")
    parser.add_argument("--python", default=sys.executable, help="an interpreter of Colab's minor version")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="clslab-colab-") as lent:
        folder = (chosen.folder or Path(lent)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        python = filled(folder, chosen.python)
        variables, colab = as_in_colab(folder, python), recorded(LIST.read_text("utf-8"))
        (folder / "home").mkdir(exist_ok=True)
        failed, cell = 0, None
        for name in chosen.pages:
            page = ROOT / "chapters" / f"{name}.md"
            names = installed_by(page.read_text("utf-8"))
            if names != cell:  # as a reader finds it: without what a cell has installed
                pip(python, "uninstall", "--quiet", "--yes", "clslab", *(name for name in names if name not in colab))
                cell = names
            try:
                run(page, folder, variables)
                print(f"{name}: every cell ran", flush=True)
            except CellExecutionError as error:
                failed += 1
                print(f"{name}: {error}", file=sys.stderr)
        other = changed(python)
        print("\n".join(other) or "no package of Colab's was replaced")
        return 1 if failed or other else 0


if __name__ == "__main__":
    sys.exit(main())
