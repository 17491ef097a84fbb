"""What stands at the foot of a page agrees with the records and with the page's own run."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from books import ROOT

from book.tools import provenance
from book.tools.execute import Execution
from book.tools.pages import Page, chapter_pages
from clslab.records import load_runs


@pytest.fixture(scope="module")
def recorded():
    return load_runs(ROOT / "book" / "results")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('load_runs(RESULTS, "cifar100/lr")', ["cifar100/lr"]),
        ('PREFIX = "cifar100/ladder/"', ["cifar100/ladder"]),
        ("89 %<!-- run: debris/head vs debris/all, test accuracy -->", ["debris"]),
        ('Path("../book/results/cifar100/ladder")', ["cifar100/ladder"]),
        ("the folder debris/train and solar/pictures", []),
        ("catsdogs/homework/lr/0.001.", ["catsdogs/homework/lr", "catsdogs/homework"]),
        ("no record at all", []),
    ],
)
def test_families_that_a_page_speaks_of(text, expected, recorded):
    assert provenance.mentioned(text, recorded) == sorted(expected)


def test_every_marker_of_the_book_is_covered(recorded):
    from book.tools.numbers import parse

    for page in chapter_pages(ROOT):
        markers, _ = parse(page.source, page.text())
        wanted = {name.rpartition("/")[0] for marker in markers for name in (marker.name, marker.other) if name}
        assert wanted <= set(provenance.mentioned(page.text(), recorded)), page.name


def test_a_row_counts_what_the_records_hold(recorded):
    runs = provenance.families(recorded)["cifar100/lr"]
    cells = [cell.strip() for cell in provenance.row("cifar100/lr", runs).strip("|").split("|")]
    assert cells[0] == "`cifar100/lr`"
    assert int(cells[1]) == len({name for name in recorded if name.startswith("cifar100/lr/")})
    assert int(cells[2]) == len({run.seed for run in runs})
    assert int(cells[3]) == len(runs)
    assert f"{int(runs[0].metrics['val']['n']):,} validation" in cells[4]
    assert cells[5] == "real, from a data folder"


def test_stamp_says_what_was_loaded(tmp_path):
    import nbformat

    cell = nbformat.v4.new_code_cell("…")
    text = "cifar100: drawn stand-in, 400 train, 100 val, 100 test (sealed); classes apple\nbirds: hello\n"
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=2 * text)]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    page = Page(tmp_path, "chapters/99_try")
    ran = Execution(page, notebook, 4.26, 100.0, cached=True, ran=datetime(2026, 11, 2, tzinfo=UTC))
    provenance.write(tmp_path / "runs.json", [ran], profile="smoke")
    one = provenance._stamps(tmp_path / "runs.json")["chapters/99_try"]
    assert (one.day, one.profile, one.seconds) == ("2026-11-02", "smoke", 4.3)
    assert one.loaded == ("cifar100 drawn stand-in",)
    assert "2 November 2026" in provenance.foot("text", one, {})


def test_a_chapter_without_records_says_so_and_a_page_of_tables_says_when_it_was_made(tmp_path):
    one = provenance.Stamp("2026-11-02", "smoke", "AMD EPYC", 12.3)
    stamps = {name: asdict(one) for name in ("chapters/99_try", "book/results")}
    (tmp_path / "runs.json").write_text(json.dumps(stamps), "utf-8")
    app = SimpleNamespace(srcdir=tmp_path, config=SimpleNamespace(page_runs=str(tmp_path / "runs.json")))
    texts = {name: ["# A title"] for name in (*stamps, "book/glossary")}
    for name, text in texts.items():
        provenance.add_foot(app, name, text)
    assert "Last run on 2 November 2026" in texts["chapters/99_try"][0]
    assert "It quotes no recorded run" in texts["chapters/99_try"][0]
    assert texts["book/results"][0].endswith(f"{provenance.HEADING}\n\n{provenance.last_run(one)}\n")
    assert texts["book/glossary"] == ["# A title"]


def test_a_page_that_shows_a_measurement_names_it():
    measured = {
        "sam": {
            "ratios": {"a": {"pairs": 21}, "b": {"pairs": 31}},
            "machine": {"name": "AMD EPYC"},
            "date": "2026-11-02",
        },
        "depth": {"ratios": {}, "judged": 5000, "machine": {"name": "AMD EPYC"}, "date": "2026-11-03"},
        "tta": {"ratios": {}, "machine": {"name": "AMD EPYC"}, "date": "2026-11-04"},
    }
    text = 'benchmark_table(RESULTS / "benchmarks", ["sam"]) and RESULTS / "benchmarks" / "depth.json"; the tta'
    foot = provenance.foot(text, provenance.Stamp("2026-11-02", "smoke", "AMD EPYC", 12.3), {}, measured)
    assert "| `benchmarks/sam.py` | 21 to 31 pairs | AMD EPYC | 2 November 2026 |" in foot
    assert "| `benchmarks/depth.py` | 5,000 pictures | AMD EPYC | 3 November 2026 |" in foot
    assert "tta" not in foot
    assert "no recorded run" not in foot
    assert provenance.foot("benchmarks of nothing", None, {}, measured) == ""


def test_page_without_run_and_record_has_no_foot(recorded):
    assert provenance.foot("nothing measured", None, recorded) == ""
