"""Some pages of the site as a PDF: what its contents say is true, formulas are there, and nothing is cut off."""

import re
import shutil
from pathlib import Path

import pytest
from browsing import SITE
from pypdf import PdfReader

from book.grading import leaks
from book.tools import onepage, pdf
from book.tools.pages import BookError

ROOT = Path(__file__).resolve().parents[2]
TOC = {
    "root": "book/index",
    "parts": [
        {
            "caption": "Training from scratch",
            "chapters": [{"file": "chapters/14_sound", "sections": [{"file": "chapters/14_sound_exercises"}]}],
        },
    ],
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A copy of the pages, into which the PDF may be put."""
    folder = tmp_path_factory.mktemp("pdf") / "html"
    for name in (entry.name for entry in onepage.entries(TOC)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SITE / f"{name}.html", folder / f"{name}.html")
    for name in ("_static", "_images"):
        (folder / name).symlink_to(SITE / name, target_is_directory=True)
    return folder


@pytest.fixture(scope="module")
def made(site):
    """The PDF: what was printed, and the file."""
    return pdf.make(ROOT, site, public=False, toc=TOC), site / pdf.NAME


@pytest.fixture(scope="module")
def texts(made):
    """The words of each page, without gaps."""
    return ["".join(text.split()) for text in leaks.pdf_words(made[1].read_bytes())]


def titles(site: Path) -> list[onepage.Line]:
    """The lines of the contents."""
    names = [entry.name for entry in onepage.entries(TOC)]
    return [line for entry in onepage.entries(TOC) for line in onepage.one_page(site, entry, names, ".")[1]]


def test_the_contents_name_the_page_on_which_a_heading_stands(made, texts, site):
    begin = next(at for at, text in enumerate(texts) if "Contents" in text)
    contents = "".join(texts[begin : made[0].at[titles(site)[0].target] - 1])
    for line in titles(site):
        words = "".join(re.sub("<[^>]+>", "", line.title).split())
        page = made[0].at[line.target]
        assert f"{words}{page}" in contents
        assert words in texts[page - 1]
    assert len(set(made[0].at.values())) > 10


def test_pages_are_numbered_but_the_first(made):
    heads = [page.extract_text().splitlines()[:2] for page in PdfReader(made[1]).pages]
    assert [str(number) in head for number, head in enumerate(heads, start=1)] == [False] + [True] * (len(heads) - 1)
    assert "14 · Sound as a picture" in heads[made[0].at["chapters.14_sound--heading-3"] - 1]


def test_the_bookmarks_are_the_chapters_and_their_sections(made):
    def walk(outline, depth=0):
        for one in outline:
            if isinstance(one, list):
                yield from walk(one, depth + 1)
            else:
                yield depth, one.title

    found = {title: depth for depth, title in walk(PdfReader(made[1]).outline)}
    assert found["14 · Sound as a picture"] == 1
    assert found["What to remember"] == 2
    assert found["14.1 Resolved?"] == 3


def test_formulas_are_drawn_and_can_be_searched(made, texts):
    whole = "".join(texts)
    assert "X_k=\\sum_{n=0}^{N-1}" in whole
    assert "\\(" not in whole
    assert "\\[" not in whole


def test_what_needs_a_hand_is_in_words(texts):
    whole = "".join(texts)
    assert "Onthewebpageaslidermovesthewindowlengththrough7figures" in whole
    assert "Tobeheardonthewebpage:Atoneof1,000Hz" in whole
    for gone in ("Showcodecell", "Skiptomaincontent", "Searchthisbook", "previous"):
        assert gone not in whole
    assert re.search(r"Solution:page\d+", whole)


def test_a_word_of_it_is_found_by_the_search_for_leaks(made):
    assert any(leak.inside.startswith("words") for leak in leaks.find("liveliest", [made[1]]))


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ('<div style="width: 900px">wide</div>', 'front: <div class=""> ends 242 px beyond the column: wide'),
        ('<img src="https://example.org/a.png" alt="A dog.">', "asked for https://example.org/a.png"),
        ('<img src="gone.png" alt="A dog.">', "a picture cannot be shown: A dog."),
        (r"<p>\(\notacommand\)</p>", r"a formula is wrong: \notacommand"),
        (r"<p>\(x^2^3\)</p>", "a formula is wrong: x^2^3"),
    ],
)
def test_what_would_be_cut_off_or_missing_is_a_fault(made, site, body, complaint):
    page = site.parent / "pdf" / "broken.html"
    text = re.sub("<main>.*</main>", "", (site.parent / "pdf" / "course.html").read_text("utf-8"), flags=re.DOTALL)
    page.write_text(re.sub("<body>.*</body>", lambda _: f"<body>{body}</body>", text, flags=re.DOTALL), "utf-8")
    with pytest.raises(BookError, match=re.escape(complaint)):
        pdf.print_book(page, site.parent / "broken.pdf")
    assert not (site.parent / "broken.pdf").exists()
