"""A translation is complete where it says so, keeps what the English holds, and gives way where that has changed."""

import re
from collections import Counter

import pytest
from babel.messages.mofile import read_mo
from books import ROOT, edit

from book.tools import catalogues, translate
from book.tools.build import site_key
from book.tools.language import LANGUAGES, SOURCE, SearchChinese, both_names, marked, named, state, switch
from book.tools.pages import BookError, find_page

CODES = [code for code in LANGUAGES if code != SOURCE]
WHOLE = ("book/glossary", "book/index", catalogues.SITE)
"""Catalogues in which nothing may be missing."""

KEPT = {
    "role": re.compile(r"\{([\w:]+)\}`(?:[^`<]*<)?([^`<>]+)>?`"),
    "term": re.compile(r"\{term\}`[^`<]*<([^`<>]+)>`"),
    "link": re.compile(r"\]\(([^)\s]+)"),
    "code": re.compile(r"\{[\w:]+\}`[^`]+`|(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)"),
    "formula": re.compile(r"\$[^$]+\$"),
    "comment": re.compile(r"<!--.*?-->"),
    "place": re.compile(r"(?<!`)\{\w+\}(?!`)"),
    "strong": re.compile(r"\*\*"),
    "number": re.compile(r"\d+(?:[.,]\d+)*"),
}
"""What a translation must hold as often as the English, whatever the order."""


def differences(source: str, translation: str) -> list[str]:
    """Kinds of things that a translation has lost or added."""

    def held(text: str, pattern: re.Pattern[str]) -> Counter[str]:
        return Counter(str(one) for one in pattern.findall(text) if one != ("", ""))

    return [kind for kind, pattern in KEPT.items() if held(source, pattern) != held(translation, pattern)]


def written() -> list[tuple[str, str]]:
    """Language and name of every catalogue."""
    return [
        (code, path.relative_to(catalogues.folder(ROOT, code)).with_suffix("").as_posix())
        for code in CODES
        for path in sorted(catalogues.folder(ROOT, code).rglob("*.po"))
    ]


def entries(code: str, name: str):
    """The texts of a catalogue, without those that are gone."""
    return [message for message in catalogues.read(catalogues.catalogue(ROOT, code, name)) if message.id]


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    """The texts that stand in the pages now, for every catalogue."""
    work = tmp_path_factory.mktemp("texts")
    names = sorted({name for _, name in written()} - {catalogues.SITE})
    found = {**translate.extract(ROOT, names, work), catalogues.SITE: translate.site_template(ROOT, work)}
    return {name: {message.id for message in catalogues.read(path) if message.id} for name, path in found.items()}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", WHOLE)
def test_front_page_glossary_and_words_of_the_site_are_whole(code, name):
    assert [m.id for m in entries(code, name) if not m.string or m.fuzzy] == []


@pytest.mark.parametrize(("code", "name"), written())
def test_a_catalogue_holds_the_texts_of_its_page(code, name, templates):
    here = {message.id for message in entries(code, name)}
    assert here == templates[name], (
        f"{name}: the English has changed; run `make catalogues`, then look at what is fuzzy"
    )


@pytest.mark.parametrize(("code", "name"), written())
def test_translations_keep_links_roles_code_and_numbers(code, name):
    found = {m.id: differences(m.id, m.string) for m in entries(code, name) if m.string and not m.fuzzy}
    assert {text: kinds for text, kinds in found.items() if kinds} == {}


@pytest.mark.parametrize(
    ("source", "translation", "lost"),
    [
        ("See {doc}`map`.", "见{doc}`map`。", []),
        ("See {doc}`a map <map>`.", "见{doc}`地图 <map>`。", []),
        ("See {doc}`map`.", "见{doc}`地图`。", ["role"]),
        ("See {doc}`map`.", "见地图。", ["role"]),
        ("A {term}`learning rate <learning rate>`.", "{term}`学习率 <learning rate>`。", []),
        ("[here](#a)", "[这里](#b)", ["link"]),
        ("`Adam` at 0.01", "`Adam`，取 0.01", []),
        ("`Adam` at 0.01", "`adam`，取 0.1", ["code", "number"]),
        ("$x$ and **y**", "$x$ 和**y**", []),
        ("$x$ and **y**", "$y$ 和 y", ["formula", "strong"]),
        ("89 % <!-- run: a -->", "89%", ["comment"]),
        ("Pages below {name}", "{title}之下", ["place"]),
    ],
)
def test_what_a_translation_loses_is_seen(source, translation, lost):
    assert differences(source, translation) == lost


@pytest.mark.parametrize("code", CODES)
def test_a_word_of_the_glossary_keeps_its_english_name_and_has_one_of_its_own(code):
    terms = re.findall(r"^(\S.*)\n  \S", (ROOT / "book" / "glossary.md").read_text("utf-8"), re.MULTILINE)
    done = catalogues.finished(catalogues.read(catalogues.catalogue(ROOT, code, "book/glossary")))
    own = []
    for term in terms:
        word, _, letter = done[term].partition(" : ")
        names = [entry[1] for entry in both_names(("single", word, "", "main", letter))]
        assert names[-1] == re.sub(r"[()]", "", term)
        assert re.fullmatch(r"[A-Z]", letter) or word == term, f"{term}: a letter to stand under in the index"
        own.append(names[0])
    assert len(set(own)) == len(own) == len(terms) > 100


@pytest.fixture
def chinese(small):
    """A small book with a catalogue for its first page, in which one text is translated and one is out of date."""
    (small / "book" / "index.md").write_text(
        "# A small book\n\nIt has one chapter, {doc}`../chapters/00_sample`.\n\nOne and *two* are three.\n", "utf-8"
    )
    translate.translate(small, "zh_CN", "index")
    path = catalogues.catalogue(small, "zh_CN", "book/index")
    for source, text in {
        "A small book": "一本小书",
        "It has one chapter, {doc}`../chapters/00_sample`.": "它只有一章：{doc}`../chapters/00_sample`。",
        "One and *two* are three.": "一加*二*等于三。",
    }.items():
        edit(path, f'msgid "{source}"\nmsgstr ""', f'msgid "{source}"\nmsgstr "{text}"')
    site = catalogues.catalogue(small, "zh_CN", catalogues.SITE)
    edit(site, 'msgid "A sample"\nmsgstr ""', 'msgid "A sample"\nmsgstr "一个样本"')
    return small


def test_a_book_in_two_languages(chinese, tool):
    edit(chinese / "book" / "index.md", "One and *two* are three.", "One and *two* are four.")
    updated = tool("translate", chinese)
    assert updated.returncode == 0, updated.stdout + updated.stderr
    assert "book/index.po: 3 texts, 0 not translated, 1 changed in English since (fuzzy)" in updated.stdout
    before = catalogues.catalogue(chinese, "zh_CN", "book/index").read_bytes()

    done = tool("build", chinese, "--language", "zh_CN")
    assert done.returncode == 0, done.stdout + done.stderr
    site = chinese / "_build" / "html"
    first = (site / "zh-CN" / "book" / "index.html").read_text("utf-8")
    assert '<html lang="zh-CN"' in first
    assert "它只有一章" in first
    assert '<p lang="en" class="untranslated">One and <em>two</em> are four.</p>' in first, "what is fuzzy is English"
    assert "等于三" not in first
    assert "Parts of this page have not been translated" in first, "the notice itself is not translated in this book"
    chapter = (site / "zh-CN" / "chapters" / "00_sample.html").read_text("utf-8")
    assert '<h1 lang="zh-CN" class="translated">一个样本' in chapter
    assert re.search(r'<section lang="en"[^>]*>', chapter)
    assert "total 4" in chapter, "the second language shows the results of the first"
    for page, other, tag in (
        ("book/index", "../zh-CN/book/index.html", "zh-CN"),
        ("search", "zh-CN/search.html", "zh-CN"),
    ):
        head = (site / f"{page}.html").read_text("utf-8")
        assert f'href="{other}" hreflang="{tag}" lang="{tag}"' in head
        assert ((site / page).parent / other).resolve().is_file()
    assert 'href="../../book/index.html" hreflang="en" lang="en"' in first
    assert list((chinese / "book").rglob("*.mo")) == [], "compiled catalogues are not written into the sources"
    assert catalogues.catalogue(chinese, "zh_CN", "book/index").read_bytes() == before

    again = tool("build", chinese, "--language", "zh_CN")
    assert "nothing changed" in again.stdout
    key = site_key(chinese, "smoke", ["zh_CN"])
    assert key != site_key(chinese, "smoke")
    edit(catalogues.catalogue(chinese, "zh_CN", "book/index"), "只有一章", "只含一章")
    assert site_key(chinese, "smoke", ["zh_CN"]) != key, "another translation is another site"


def test_what_was_translated_is_kept_when_its_text_is_gone(chinese):
    edit(chinese / "book" / "index.md", "One and *two* are three.", "Nothing of the kind stands here any longer.")
    translate.translate(chinese, "zh_CN")
    text = catalogues.catalogue(chinese, "zh_CN", "book/index").read_text("utf-8")
    assert '#~ msgstr "一加*二*等于三。"' in text
    assert catalogues.finished(catalogues.read(catalogues.catalogue(chinese, "zh_CN", "book/index"))).keys() == {
        "A small book",
        "It has one chapter, {doc}`../chapters/00_sample`.",
    }


def test_formulas_need_no_translation(small, tmp_path):
    path = catalogues.catalogue(small, "zh_CN", "book/index")
    path.parent.mkdir(parents=True)
    path.write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
        'msgid "\\nx = 1 .\\n"\nmsgstr ""\n\nmsgid "words"\nmsgstr ""\n\n#, fuzzy\nmsgid "old"\nmsgstr "旧"\n',
        "utf-8",
    )
    with (catalogues.compiled(small, "zh_CN", tmp_path / "mo") / "zh_CN/LC_MESSAGES/book/index.mo").open("rb") as file:
        assert {m.id: m.string for m in read_mo(file) if m.id} == {"\nx = 1 .\n": "\nx = 1 .\n"}


def test_a_catalogue_of_no_page_and_an_unknown_language_are_named(small):
    lost = catalogues.folder(small, "zh_CN") / "chapters" / "00_gone.po"
    lost.parent.mkdir(parents=True)
    lost.write_text("", "utf-8")
    with pytest.raises(BookError, match=r"chapters/00_gone\.po belongs to no page"):
        catalogues.begun(small, "zh_CN")
    with pytest.raises(BookError, match="'xx' is unknown; there is zh_CN"):
        catalogues.language("xx")


def test_a_catalogue_that_cannot_be_read_is_named_with_its_line(tmp_path):
    path = tmp_path / "a.po"
    path.write_text('msgid "a"\nmsgstr "b"\n\nmsgstring "c"\n', "utf-8")
    with pytest.raises(BookError, match=r"a\.po, line \d+"):
        catalogues.read(path)


def test_chinese_is_found_by_any_two_signs_of_a_word():
    terms = SearchChinese({}).split("学习率，learning rate")
    assert {"学习", "习率", "learning", "rate"} <= set(terms)
    assert "率l" not in terms


def test_a_page_says_how_far_it_is_translated():
    assert state("a", ["a"], {"total": 2, "translated": 2}) == "whole"
    assert state("a", ["a"], {"total": 2, "translated": 1}) == "part"
    assert state("a", ["a"], {"total": 2, "translated": 0}) == "none"
    assert state("b", ["a"], {"total": 2, "translated": 2}) == "none"


def test_each_text_is_marked_with_its_language():
    body = (
        '<section id="s"><h1 class="translated">题</h1><p class="a untranslated">text</p><p class="x">y</p></section>'
    )
    part = marked(body, how="part", tag="zh-CN")
    assert '<p lang="en" class="a untranslated">' in part
    assert part.count("lang=") == 1
    none = marked(body, how="none", tag="zh-CN")
    assert '<section lang="en" id="s"><h1 lang="zh-CN" class="translated">' in none
    assert none.count("lang=") == 2


def test_only_names_that_are_known_are_translated():
    html = '<i title="Main"></i><a title="Main street" aria-label="Page">'
    assert named(html, {"Main": "主导航"}) == '<i title="主导航"></i><a title="Main street" aria-label="Page">'


def test_the_switch_leads_from_each_language_to_the_others():
    pages = [find_page(ROOT, "book/glossary").name, "genindex"]
    assert [one["href"] for page in pages for one in switch("zh_CN", page, ["en"])] == [
        "../../book/glossary.html",
        "../genindex.html",
    ]
