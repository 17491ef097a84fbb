"""The canary of a graded homework is found wherever it could be published, and is not in what is published now."""

import base64
import gzip
import json
import zipfile
import zlib
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from pypdf import PdfWriter

from book.grading import leaks
from book.grading.homework import VARIABLE, load

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "exercises" / "sample_instructor"
WORD = "heron4711grebe"


def packed(folder: Path) -> dict[str, Path]:
    """The same secret in every form in which it could leave the machine."""
    text = f"# {WORD}\nassert root(9) == 3\n" * 9
    made = {name: folder / name for name in ("page.html", "x.js.gz", "x.zip", "x.pdf", "a.ipynb", "run.json")}
    made["page.html"].write_text(f"<pre><span># {WORD}</span></pre>")
    made["x.js.gz"].write_bytes(gzip.compress(text.encode()))
    with zipfile.ZipFile(made["x.zip"], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/search.js", text)
    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    writer.add_attachment("x.py", zlib.compress(text.encode()))
    writer.write(made["x.pdf"])
    made["a.ipynb"].write_text(json.dumps({"data": base64.encodebytes(text.encode()).decode()}))
    made["run.json"].write_text(json.dumps({"packed": base64.b64encode(zlib.compress(text.encode() * 40)).decode()}))
    return made


@pytest.mark.parametrize("name", ["page.html", "x.js.gz", "x.zip", "x.pdf", "a.ipynb", "run.json"])
def test_it_is_found_in_every_form(tmp_path, name):
    path = packed(tmp_path)[name]
    assert {leak.path for leak in leaks.find(WORD, [path])} == {path}
    assert leaks.find("another4711word", [path]) == []


def test_it_is_found_where_a_line_of_a_pdf_ends_within_it(tmp_path):
    figure = plt.figure()
    figure.text(0.1, 0.5, f"{WORD[:6]}\n{WORD[6:]}")
    figure.savefig(tmp_path / "page.pdf")
    plt.close(figure)
    assert [leak.inside for leak in leaks.find(WORD, [tmp_path])] == ["words, without gaps"]


def test_it_is_found_where_the_font_draws_two_letters_as_one(tmp_path):
    figure = plt.figure()
    figure.text(0.1, 0.5, "pu\ufb03n4711o\ufb00")
    figure.savefig(tmp_path / "page.pdf")
    plt.close(figure)
    assert "words" in [leak.inside for leak in leaks.find("puffin4711off", [tmp_path])]


def test_it_is_found_in_the_bookmarks_of_a_pdf(tmp_path):
    writer = PdfWriter()
    page = writer.add_blank_page(100, 100)
    writer.add_outline_item(title=f"Größe {WORD} – und mehr", page_number=page.page_number or 0)
    writer.write(tmp_path / "page.pdf")
    assert leaks.find(WORD, [tmp_path])


def test_a_pdf_that_cannot_be_read_is_not_passed_over(tmp_path):
    (tmp_path / "page.pdf").write_bytes(b"%PDF-1.7\n1 0 obj\n")
    with pytest.raises(ValueError, match=r"page\.pdf cannot be read as a PDF"):
        leaks.find(WORD, [tmp_path])


def test_folders_are_searched_to_their_end_and_one_may_be_left_out(tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    packed(deep)
    assert len({leak.path for leak in leaks.find(WORD, [tmp_path])}) == 6
    assert leaks.find(WORD, [tmp_path], skip=[tmp_path / "a"]) == []


def test_what_is_not_there_and_an_empty_word_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no"):
        leaks.find(WORD, [tmp_path / "nothing"])
    with pytest.raises(ValueError, match="the canary is empty"):
        leaks.find("", [tmp_path])


def test_the_sample_homework_is_in_nothing_that_is_published():
    published = [ROOT / name for name in leaks.PUBLISHED if name != "tests" and (ROOT / name).exists()]
    assert len(published) >= 6
    assert leaks.find(load(SAMPLE).canary, published) == []


def test_the_command_says_what_it_searched_and_fails_on_a_leak(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(VARIABLE, str(SAMPLE))
    monkeypatch.setattr(leaks, "PUBLISHED", ("README.md",))
    assert leaks.main([]) == 0
    assert "0 places hold the canary; searched: README.md" in capsys.readouterr().out
    (tmp_path / "feedback.html").write_text(f"your answer failed: {load(SAMPLE).canary}")
    assert leaks.main([str(tmp_path)]) == 1
    assert "LEAK:" in capsys.readouterr().out
    monkeypatch.delenv(VARIABLE)
    assert leaks.main([]) == 1
    assert f"set {VARIABLE}" in capsys.readouterr().err
