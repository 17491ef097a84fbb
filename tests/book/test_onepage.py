"""The pages of a site become one page for paper: every id and link its own, nothing that needs a hand."""

import pytest
from books import ROOT
from bs4 import BeautifulSoup

from book.tools import onepage, pdf
from book.tools.onepage import Entry, assemble, entries
from book.tools.pages import BookError
from clslab.frames import Frames
from clslab.plots import BookFigure

PAGES = [Entry("book/index", 1), Entry("chapters/01_a", 2, "First part"), Entry("chapters/01_a_exercises", 3)]


@pytest.fixture
def put(tmp_path):
    """Lays out a site of three pages with the given articles, and puts it together."""

    def together(index: str = "", chapter: str = "", sheet: str = "") -> BeautifulSoup:
        site = tmp_path / "html"
        (site / "_static").mkdir(parents=True)
        (site / "_static" / "pygments.css").write_text(".highlight { background: white }")
        for entry, body in zip(PAGES, (index, chapter, sheet), strict=True):
            page = site / f"{entry.name}.html"
            page.parent.mkdir(exist_ok=True)
            article = f'<article class="bd-article"><section id="top"><h1>{entry.name}</h1>{body}</section></article>'
            page.write_text(f"<html><nav>menu</nav>{article}</html>", "utf-8")
        made = assemble(site, PAGES, place=tmp_path / "pdf", title="T", front="<header>F</header>", mathjax="m.js")
        return BeautifulSoup(made.html, "html.parser")

    return together


def test_the_reference_is_left_out_and_a_part_begins_with_its_first_page():
    toc = {
        "root": "book/index",
        "parts": [
            {"caption": "Only reference", "chapters": [{"file": "book/api/index", "sections": [{"file": "x"}]}]},
            {"caption": "First part", "chapters": [{"file": "chapters/01_a", "sections": [{"file": PAGES[2].name}]}]},
        ],
    }
    assert entries(toc) == PAGES
    assert entries({"root": "a", "chapters": [{"file": "b"}]}) == [Entry("a", 1), Entry("b", 1)]


def test_ids_of_several_pages_do_not_meet_and_links_follow_them(put):
    book = put(
        index='<h2 id="what">A</h2><a href="../chapters/01_a.html#what">there</a><a href="#what">here</a>',
        chapter='<h2 id="what">B</h2><p id="what">again</p><a href="01_a_exercises.html">sheet</a>'
        '<a href="../book/api/data.html#x"><b>data</b></a><a href="https://example.org/a">out</a>'
        '<label for="what">L</label><img src="../_images/a.png" alt="A."><img src="data:image/png;base64,AA" alt="B.">',
    )
    ids = [one["id"] for one in book.find_all(id=True)]
    assert len(ids) == len(set(ids))
    leads = {one.get_text(): one["href"] for one in book.main.find_all("a")}
    assert leads == {
        "there": "#chapters.01_a--what",
        "here": "#book.index--what",
        "sheet": "#chapters.01_a_exercises",
        "out": "https://example.org/a",
    }
    assert book.find(id="chapters.01_a--what").get_text() == "B"
    assert "data" in book.main.get_text()
    assert book.find("label")["for"] == "chapters.01_a--what"
    assert [one["src"] for one in book.find_all("img")] == ["../html/_images/a.png", "data:image/png;base64,AA"]
    assert "menu" not in book.get_text()


def test_a_link_to_nothing_is_a_fault(put):
    with pytest.raises(BookError, match=r"links to nothing in the whole book: chapters\.01_a--gone"):
        put(index='<a href="../chapters/01_a.html#gone">x</a>')


def test_the_contents_list_titles_by_their_level_and_not_the_foot(put):
    book = put(
        chapter='<h2>One <code id="c">x</code><a class="headerlink" href="#top">#</a></h2><h3>Small</h3>'
        '<section id="what-this-page-rests-on"><h2>What this page rests on</h2></section>'
    )
    lines = [(one["class"][0], one.select_one(".line-title").get_text()) for one in book.select(".contents li")]
    assert lines == [
        ("line-1", "book/index"),
        ("line-1", "First part"),
        ("line-2", "chapters/01_a"),
        ("line-3", "One x"),
        ("line-3", "chapters/01_a_exercises"),
    ]
    levels = [(one.name, one.get_text()) for one in book.main.find_all(["h1", "h2", "h3", "h4"])]
    assert levels[:4] == [("h1", "book/index"), ("h1", "First part"), ("h2", "chapters/01_a"), ("h3", "One x")]
    assert ("h4", "Small") in levels
    assert ("h3", "chapters/01_a_exercises") in levels
    wanted = [one["data-page-of"] for one in book.select(".contents [data-page-of]")]
    assert [book.find(id=one).get_text(strip=True) for one in wanted][:3] == ["book/index", "First part", PAGES[1].name]
    assert '@page p1 { @top-left { content: "chapters/01_a"; } }' in book.find("style").get_text()


def bar(length, thickness=1):
    """A figure for a slider."""
    figure = BookFigure(alt=f"A bar of {length}.", height=1)
    figure.add_subplot().barh([0], [length], height=thickness)
    return figure


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, 'Shown: 2 "µm". On the web page a slider moves the size through 3 figures, from 1 "µm" to 4 "µm".'),
        ({"choice": True}, 'Shown: 2 "µm". On the web page buttons choose: size 1 "µm", 2 "µm" or 4 "µm".'),
        (
            {"switch": ("the bar is", {"thick": 1, "thin": 2})},
            'Shown: 2 "µm", thick. On the web page a slider moves the size through 3 figures, from 1 "µm" to 4 "µm" '
            "and buttons choose: the bar is thick or thin.",
        ),
    ],
)
def test_a_slider_is_its_first_figure_and_says_what_it_moves(put, options, said):
    made = Frames.of(bar, (1, 2, 4), title="size", label='{} "µm"'.format, start=1, **options)
    box = put(chapter=made._repr_html_()).select_one(".clslab-frames")
    assert box.find("img")["alt"] == "A bar of 2."
    assert box.get_text() == said
    assert not box.find(["input", "label", "fieldset"])


def test_a_player_is_a_line_with_its_credit(put):
    audio = '<audio controls aria-label="A wren, 3.0 seconds" src="data:audio/wav;base64,AA"></audio>'
    book = put(
        chapter=f'<div class="clslab-player" data-origin="x"><span>A wren</span>{audio}<small>A. Person, CC BY</small>'
        f'</div><div class="clslab-player" data-origin="synthetic"><span>A wren</span>{audio}</div>'
        '<div class="clslab-player" data-origin="x"><span>A robin</span><span>(not on this page)</span></div>'
    )
    assert [one.get_text() for one in book.select(".clslab-player")] == [
        "To be heard on the web page: A wren, 3.0 seconds (A. Person, CC BY).",
        "To be heard on the web page: A wren, 3.0 seconds (synthesised).",
        "A sound: A robin.",
    ]


def test_what_is_folded_is_open(put):
    book = put(
        chapter='<details class="admonition hide above-input"><summary>Show code</summary><pre>x = 1</pre></details>'
        '<details class="sd-dropdown"><summary><span>Key</span></summary><p>1. a</p></details>'
    )
    assert book.find("details") is None
    assert book.select_one(".folded").get_text() == "x = 1"
    assert book.select_one(".opened").get_text() == "Key1. a"


SOLUTION = (
    '<section id="one"><h2>1.1 Nan</h2><div class="exercise admonition" id="ex-nan">Why?</div>'
    '<div class="solution dropdown admonition" id="chapters/01-solution-0"><p class="admonition-title">Solution to'
    '<a href="#ex-nan"> Exercise 1</a></p><p>Zero by zero.</p></div><p>checked</p></section>'
    '<section id="what-this-page-rests-on"><h2>What this page rests on</h2></section>'
)


def test_solutions_stand_at_the_end_of_the_sheet_with_pages_both_ways(put):
    book = put(sheet=SOLUTION)
    end = book.select_one("section.solutions")
    assert [one.get_text() for one in end.find_all(["h4", "p"])] == ["Solutions", "1.1 Nan (page 000)", "Zero by zero."]
    assert end.find_next("h4", string="What this page rests on")
    left = book.select_one(".see-solution")
    assert left.get_text() == "Solution: page 000"
    assert book.find(id=left.a["href"][1:]) is end.select_one(".solution")
    assert book.find(id=end.select_one("[data-page-of]")["data-page-of"])["id"] == "chapters.01_a_exercises--ex-nan"


@pytest.mark.parametrize("what", ["<iframe src='a'></iframe>", "<input type=text>", "<video></video>"])
def test_what_has_no_form_on_paper_is_named(put, what):
    with pytest.raises(BookError, match=r"chapters/01_a: <\w+> has no form on paper"):
        put(chapter=what)


def test_a_page_that_was_not_built_is_named(tmp_path):
    with pytest.raises(BookError, match="book/index: there is no such page"):
        onepage.one_page(tmp_path, PAGES[0], [], "../html")


def test_the_rule_of_publish_holds_for_what_is_printed(tmp_path):
    (tmp_path / "pdf").mkdir()
    page = tmp_path / "pdf" / "course.html"
    page.write_text('<img src="data:image/png;base64,AAAA" alt="A dog.">', "utf-8")
    (found,) = pdf.refused(tmp_path / "html", page, ROOT)
    assert "nothing says where it comes from" in found


def test_the_pages_that_have_a_place_lead_to_it_once(tmp_path):
    page = tmp_path / "book" / "index.html"
    page.parent.mkdir()
    page.write_text(f"<p>a</p>{pdf.PLACE}<p>b</p>", "utf-8")
    (tmp_path / "book" / "map.html").write_text("<p>c</p>", "utf-8")
    made = tmp_path / pdf.NAME
    made.write_bytes(b"0" * 2_600_000)
    assert pdf.link(tmp_path, made, 12) == 1
    assert pdf.link(tmp_path, made, 13) == 1
    text = page.read_text("utf-8")
    assert text.count("course.pdf") == 1
    assert '<a href="../course.pdf">The whole book as one PDF</a> (13 pages, 2.6 MB)' in text


def test_a_machine_without_a_browser_is_told_so(monkeypatch, capsys):
    monkeypatch.setenv("CLSLAB_BROWSER", "/no/where")
    assert pdf.main(["--root", str(ROOT), "--site", "/no/site"]) == 1
    assert "no Chromium was found. Install it" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["index", "how_to_use"])
def test_a_place_for_the_link_is_kept(name):
    assert (ROOT / "book" / f"{name}.md").read_text("utf-8").count(pdf.PLACE) == 1
