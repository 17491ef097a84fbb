import subprocess
import sys
from pathlib import Path

from clslab.data.catalog import ENTRIES

ROOT = Path(__file__).resolve().parents[2]


def check(*options):
    command = [sys.executable, "-m", "book.tools.data_sheets", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_page_of_data_sheets_is_up_to_date():
    done = check("--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_old_page_is_found_and_not_changed(tmp_path):
    page = tmp_path / "data.md"
    assert check("--page", str(page)).returncode == 0
    text = page.read_text(encoding="utf-8")
    assert all(f"(data-{name})=" in text for name in ENTRIES)
    old = text.replace("withdrawn", "praised")
    page.write_text(old, encoding="utf-8")
    done = check("--check", "--page", str(page))
    assert done.returncode == 1
    assert "withdrawn" in done.stdout
    assert "out of date" in done.stderr
    assert page.read_text(encoding="utf-8") == old


def test_a_missing_page_is_out_of_date(tmp_path):
    assert check("--check", "--page", str(tmp_path / "none.md")).returncode == 1
