"""Every page leads to itself in the other language, says what is English in it, and Chinese words are found."""

from __future__ import annotations

import re

import pytest
from browsing import OTHER_LANGUAGES, PHONE, ROOT, SITE, all_page_names, visiting

from book.tools.catalogues import begun
from book.tools.language import LANGUAGES

LINK = re.compile(r'<a class="[^"]*\bclslab-language\b[^"]*" href="([^"]+)" hreflang="([^"]+)" lang="([^"]+)"')
CHINESE = LANGUAGES["zh_CN"]
GLOSSARY = f"{CHINESE.tag}/book/glossary.html"


def test_every_page_leads_to_itself_in_the_other_language_and_back():
    pages = all_page_names()
    assert any(name.startswith(OTHER_LANGUAGES) for name in pages), "`make site-smoke` builds both languages"
    for name in pages:
        links = LINK.findall((SITE / name).read_text("utf-8"))
        assert len(links) == 1, name
        address, hreflang, lang = links[0]
        other = (SITE / name).parent.joinpath(address).resolve().relative_to(SITE).as_posix()
        assert other in pages, f"{name} leads to {other}"
        assert other.removeprefix(f"{CHINESE.tag}/") == name.removeprefix(f"{CHINESE.tag}/")
        assert hreflang == lang == ("en" if name.startswith(OTHER_LANGUAGES) else CHINESE.tag)


def test_a_page_without_a_translation_says_so_and_is_marked_as_english():
    whole = {f"{CHINESE.tag}/{name}.html" for name in begun(ROOT, "zh_CN")}
    assert GLOSSARY in whole
    seen = 0
    for name in all_page_names():
        if not name.startswith(f"{CHINESE.tag}/") or name.count("/") == 1:  # those at the root are made by Sphinx
            continue
        text = (SITE / name).read_text("utf-8")
        assert f'<html lang="{CHINESE.tag}"' in text, name
        bare = re.findall(
            r"<(\w+)((?:(?! lang=)[^<>])*\buntranslated\b[^<>]*)>", text.replace("clslab-untranslated", "")
        )
        if name in whole:
            assert "clslab-untranslated" not in text, name
            assert bare == [], name
        else:
            seen += 1
            assert re.search(r'<p class="clslab-untranslated" role="note">[^<]*英文原文', text), name
            assert '<section lang="en"' in text, name
            assert '<nav id="pst-page-toc-nav"' not in text, f"{name}: its contents are English too"
    assert seen > 40


def test_the_words_of_the_theme_are_chinese():
    texts = [(SITE / CHINESE.tag / "book" / name).read_text("utf-8") for name in ("index.html", "glossary.html")]
    outside = "".join(re.sub(r"<article.*?</article>", "", text, flags=re.DOTALL) for text in texts)
    for english in (
        "Search",
        "Contents",
        "next",
        "previous",
        "Color mode",
        "Skip to main content",
        "Toggle primary",
        "The course",
    ):
        assert not re.search(rf'(?:>\s*|(?:title|aria-label|placeholder)="){english}', outside), english
    for chinese in ("搜索", "目录", "上一页", "下一页", "颜色模式", "跳转至主要内容", "迁移学习", "从头训练"):
        assert chinese in outside


@pytest.mark.parametrize("way", ["http", "folder"])
@pytest.mark.parametrize("word", ["学习率", "迁移学习", "过拟合", "自助法"])
def test_a_chinese_word_is_found_in_the_glossary(browser, request, way, word):
    with visiting(browser, request.getfixturevalue(way)) as one:
        one.page.goto(f"{one.base}/{CHINESE.tag}/search.html?q={word}", wait_until="load")
        one.page.wait_for_selector("#search-results ul.search li a")
        found = one.page.eval_on_selector_all("#search-results ul.search li a", "all => all.map(a => a.href)")
        assert any("book/glossary.html#term-" in address for address in found)
        assert one.outside == []


@pytest.mark.parametrize(("word", "page"), [("海滩塑料", "book/index"), ("滑动平均", "book/glossary")])
def test_a_piece_of_a_chinese_sentence_is_found(browser, folder, word, page):
    with visiting(browser, folder) as one:
        one.page.goto(f"{one.base}/{CHINESE.tag}/search.html?q={word}", wait_until="load")
        one.page.wait_for_selector("#search-results ul.search li a")
        found = one.page.eval_on_selector_all("#search-results ul.search li a", "all => all.map(a => a.href)")
        assert any(f"/{CHINESE.tag}/{page}.html" in address for address in found)


def test_what_is_written_nowhere_is_not_found(browser, folder):
    with visiting(browser, folder) as one:
        one.page.goto(f"{one.base}/{CHINESE.tag}/search.html?q=率习学", wait_until="load")
        one.page.wait_for_function("document.querySelector('#search-results p')?.textContent.includes('没有')")
        assert one.page.locator("#search-results ul.search li a").count() == 0


@pytest.mark.parametrize("way", ["http", "folder"])
def test_the_switch_is_reached_and_used_by_the_keyboard(browser, request, way):
    with visiting(browser, request.getfixturevalue(way)) as one:
        one.open("book/glossary.html")
        one.page.set_viewport_size(PHONE)
        switch = one.page.get_by_role("link", name=CHINESE.label)
        for _ in range(60):
            one.page.keyboard.press("Tab")
            if switch.evaluate("link => link === document.activeElement"):
                break
        box = switch.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 44
        one.page.keyboard.press("Enter")
        one.page.wait_for_url(f"{one.base}/{GLOSSARY}")
        assert one.page.get_by_role("heading", level=1).inner_text().startswith("术语表")
        one.page.get_by_role("link", name=LANGUAGES["en"].label).click()
        one.page.wait_for_url(f"{one.base}/book/glossary.html")
