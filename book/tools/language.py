"""The book in another language: a switch in the head of every page, marks for what is not translated, and a search.

A Sphinx extension. The translations are gettext catalogues below `book/locale` (`book.tools.catalogues`), and Sphinx
puts them into the pages; a text without one stays English. Here each page says what it is: a page without any
translation tells so at its top, and what is English on a page of another language is marked as English, so that a
screen reader changes its voice. The language of the book itself is built as if this module were not there, but for
the switch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx import addnodes
from sphinx.search.en import SearchEnglish
from sphinx.transforms import SphinxTransform

from book.tools.theme import PAGES_BELOW

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

SOURCE = "en"
"""The language that the pages are written in."""

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
NOTICES = {
    "none": "This page has not been translated yet; below stands the English text.",
    "part": "Parts of this page have not been translated yet; they stand here in English.",
}
"""What a page says at its top when nothing, or not all, of it is translated."""

SITE_WORDS = (
    *("Search this book...", "Show code cell {type}", "Hide code cell {type}", "Click to show", "Click to hide"),
    *(f"Link to this {what}" for what in ("heading", "term", "definition", "image", "table", "code", "equation")),
    *("Toggle primary sidebar", "Toggle secondary sidebar", "Color mode", "Main", "Page", PAGES_BELOW),
    *NOTICES.values(),
)
"""Words of the site that stand in no page and in no catalogue of the theme, or in none that is complete."""


@dataclass(frozen=True)
class Language:
    """A language that the book can be read in.

    Attributes:
        code: Sphinx's name, also that of the folder below `book/locale`.
        tag: as HTML writes it, also the folder of the site that holds these pages.
        name: in its own words.
        label: what a screen reader says of the link to a page in this language; begins with the name.
    """

    code: str
    tag: str
    name: str
    label: str


LANGUAGES = {
    "en": Language("en", "en", "English", "English: this page in English"),
    "zh_CN": Language("zh_CN", "zh-CN", "中文", "中文：本页的中文版"),
}
"""To add one, write it here and run `make catalogues LANGUAGE=…`."""


STATIC = tuple(f"{tag}_static/" for tag in ("", *(f"{one.tag}/" for code, one in LANGUAGES.items() if code != SOURCE)))
"""Where the scripts and the style of the theme lie in a site of all languages."""


def folder(code: str) -> str:
    """The folder of a language inside the site; the language that the book is written in has the site itself."""
    return "" if code == SOURCE else LANGUAGES[code].tag


def switch(here: str, page: str, others: Sequence[str]) -> list[dict[str, str]]:
    """The links of a page to itself in the other languages, each of which has every page.

    Args:
        here: code of the language that is being built.
        page: the page's name.
        others: codes of the other languages.

    >>> [one["href"] for one in switch("en", "book/index", ["zh_CN"])]
    ['../zh-CN/book/index.html']
    >>> [one["href"] for one in switch("zh_CN", "search", ["en"])]
    ['../search.html']
    """
    start = Path(folder(here), page).parent
    return [
        {**asdict(LANGUAGES[code]), "href": Path(os.path.relpath(Path(folder(code), f"{page}.html"), start)).as_posix()}
        for code in others
    ]


class SearchChinese(SearchEnglish):
    """Finds Chinese by pairs of characters, so that no dictionary of words is needed.

    Chinese does not space its words out. Each run of characters is put into the index as its pairs and its single
    characters, and a query is cut in the same way by the script, so every word of a text is found by any part of it.
    Words in Latin letters are treated as on the English site.

    >>> SearchChinese({}).split("学习率 of SGD")
    ['学', '学习', '习', '习率', '率', 'of', 'SGD']
    """

    lang = "zh_CN"
    language_name = "Chinese"
    _runs = re.compile(r"([\u3400-\u9fff]+)|([^\W_\u3400-\u9fff][^\W\u3400-\u9fff]*)")

    js_splitter_code = r"""
function splitQuery(query) {
  const found = [];
  for (const run of query.match(/[\u3400-\u9fff]+|[^\u3400-\u9fff]+/gu) || []) {
    if (/[\u3400-\u9fff]/u.test(run)) {
      const signs = [...run];
      if (signs.length === 1) found.push(run);
      for (let at = 0; at + 1 < signs.length; at++) found.push(signs[at] + signs[at + 1]);
    } else {
      found.push(...run.split(/[^\p{Letter}\p{Number}_\p{Emoji_Presentation}]+/gu).filter(term => term));
    }
  }
  return found;
}
"""

    def split(self, input: str) -> list[str]:  # noqa: A002  (Sphinx's name)
        """The terms of a text: pairs and single characters of Chinese runs, words of the rest."""
        found: list[str] = []
        for chinese, word in self._runs.findall(input):
            if word:
                found.append(word)
            for place, sign in enumerate(chinese):
                found.append(sign)
                if place + 1 < len(chinese):
                    found.append(chinese[place : place + 2])
        return found

    def word_filter(self, word: str) -> bool:
        """Whether a term goes into the index."""
        return bool(word) and (len(word) > 1 or "\u3400" <= word <= "\u9fff") and super().word_filter(word)


_BOTH = re.compile(r"^(?P<own>.+?)（(?P<source>[^（）]+)）$")


class BothNames(SphinxTransform):
    """Lets a translated word of the glossary be found in the index under both of its names.

    A translated term reads 学习率（learning rate）; the index and the search get an entry for each half.
    """

    default_priority = 30  # after Sphinx's Locale, before the entries are collected

    def apply(self, **_: Any) -> None:
        """Splits the entries of all terms of the page."""
        for term in self.document.findall(nodes.term):
            for index in term.findall(addnodes.index):
                index["entries"] = [half for entry in index["entries"] for half in both_names(entry)]


def both_names(entry: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """An entry of the index, or two.

    >>> both_names(("single", "学习率（learning rate）", "term-learning-rate", "main", "X"))[1]
    ('single', 'learning rate', 'term-learning-rate', 'main', None)
    """
    names = _BOTH.match(entry[1])
    if entry[0] != "single" or names is None:
        return [entry]
    return [(entry[0], names["own"], *entry[2:]), (entry[0], names["source"], *entry[2:4], None)]


class Captions(SphinxTransform):
    """Translates the captions of the sidebar, which come from `_toc.yml` and so stand in no page."""

    default_priority = 150  # after sphinx_external_toc has put the lists of pages into the page

    def apply(self, **_: Any) -> None:
        """Puts the words of the site into the lists of pages."""
        words = self.config.book_languages.get("words", {})
        for toctree in self.document.findall(addnodes.toctree):
            for name in ("caption", "rawcaption"):
                if toctree.get(name):
                    toctree[name] = words.get(toctree[name], toctree[name])


def state(page: str, begun: list[str], progress: dict[str, int]) -> str:
    """How far a page is translated: `none`, `part` or `whole`.

    Args:
        page: its name.
        begun: the pages that have a catalogue of their own; others have their title translated, and no more.
        progress: Sphinx's count of the page's texts, `total` and `translated`.

    >>> state("book/map", ["book/index"], {"total": 9, "translated": 1})
    'none'
    """
    if page not in begun or not progress.get("translated"):
        return "none"
    return "whole" if progress["translated"] == progress["total"] else "part"


CONFIGURED = (
    *("project", "html_title", "author", "nb_code_prompt_show", "nb_code_prompt_hide"),
    *("togglebutton_hint", "togglebutton_hint_hide"),
)
"""Settings of Sphinx and its extensions that are words which a reader sees."""

_ATTRIBUTE = re.compile(r'\b(?P<name>title|aria-label)="(?P<value>[^"<>]+)"')


def named(html: str, words: dict[str, str]) -> str:
    """The page with the names that the theme gives its buttons, and only in English, in the page's language.

    >>> named('<button title="Color mode">', {"Color mode": "颜色模式"})
    '<button title="颜色模式">'
    >>> named('<summary aria-label="Pages below 7 · …">', {"Pages below {name}": "{name} 之下的页面"})
    '<summary aria-label="7 · … 之下的页面">'
    """
    before, _, after = PAGES_BELOW.partition("{name}")
    below = words.get(PAGES_BELOW, PAGES_BELOW)

    def translated(found: re.Match[str]) -> str:
        value = found["value"]
        if value.startswith(before) and value.endswith(after):
            value = below.replace("{name}", value.removeprefix(before).removesuffix(after))
        return f'{found["name"]}="{words.get(value, value)}"'

    return _ATTRIBUTE.sub(translated, html)


_ELEMENT = re.compile(r'<(?P<tag>\w+)(?P<before>[^<>]*\bclass="(?:[^"]*\s)?)(?P<state>un)?translated(?P<after>["\s])')


def marked(body: str, *, how: str, tag: str) -> str:
    """The body of a page with the language of its parts.

    Sphinx gives each text the class `translated` or `untranslated`. On a page without translation the sections are
    English and the few translated texts, such as the title, are not; on other pages it is the other way round.

    >>> marked('<section id="a"><h1 class="translated">…</h1></section>', how="none", tag="zh-CN")
    '<section lang="en" id="a"><h1 lang="zh-CN" class="translated">…</h1></section>'
    """
    if how == "none":
        body = body.replace("<section ", f'<section lang="{SOURCE}" ', 1)

    def language(found: re.Match[str]) -> str:
        english = found["state"] is not None
        if english == (how == "none"):
            return found[0]
        return f'<{found["tag"]} lang="{SOURCE if english else tag}"{found[0][len(found["tag"]) + 1 :]}'

    return _ELEMENT.sub(language, body)


def offer(app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _doctree: nodes.document | None) -> None:
    """Handler of Sphinx's `html-page-context`, before the theme drops the parts of the head that are empty."""
    here, others = app.config.language, app.config.book_languages.get("others", [])
    context["other_languages"] = switch(here, pagename, others)


def mark(app: Sphinx, pagename: str, _template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Handler of Sphinx's `html-page-context`: the language of each text, and the notice of what is missing."""
    setting, here = app.config.book_languages, app.config.language
    if here == SOURCE or here not in LANGUAGES or doctree is None:
        return
    how = state(pagename, setting.get("begun", []), doctree.get("translation_progress", {}))
    body = marked(context.get("body", ""), how=how, tag=LANGUAGES[here].tag)
    if how != "whole":
        words = setting.get("words", {})
        body = f'<p class="clslab-untranslated" role="note">{words.get(NOTICES[how], NOTICES[how])}</p>\n{body}'
    context["body"] = body


def contents_marked(html: str) -> str:
    """The page with its contents marked as English, which they are where its text is.

    >>> contents_marked('<nav id="pst-page-toc-nav"> <section lang="en">')
    '<nav lang="en" id="pst-page-toc-nav"> <section lang="en">'
    """
    if f'<section lang="{SOURCE}"' not in html:
        return html
    return html.replace('<nav id="pst-page-toc-nav"', f'<nav lang="{SOURCE}" id="pst-page-toc-nav"')


def name_controls(app: Sphinx, failure: Exception | None) -> None:
    """Handler of Sphinx's `build-finished`, after the theme was mended."""
    words = app.config.book_languages.get("words", {})
    if failure is not None or app.builder.format != "html" or not words:
        return
    for path in sorted(Path(app.outdir).rglob("*.html")):
        path.write_text(contents_marked(named(path.read_text("utf-8"), words)), "utf-8")


def configure(_app: Sphinx, config: Config) -> None:
    """Handler of Sphinx's `config-inited`: the words of the site, and the place of the switch."""
    words = config.book_languages.get("words", {})
    config.templates_path = [*config.templates_path, str(TEMPLATES)]
    options = config.html_theme_options
    options["article_header_end"] = ["language-switch.html", "article-header-buttons.html"]
    if not words:
        return
    config.translation_progress_classes = True
    options["search_bar_text"] = words.get("Search this book...", options.get("search_bar_text", ""))
    footer = " ".join(str(options.get("extra_footer", "")).split())
    options["extra_footer"] = words.get(footer, footer)
    for name in CONFIGURED:
        value = str(getattr(config, name, ""))
        setattr(config, name, words.get(value, value))


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.add_config_value("book_languages", {}, "html", [dict])
    app.add_search_language(SearchChinese)
    app.add_transform(BothNames)
    app.add_transform(Captions)
    app.connect("config-inited", configure, priority=900)
    app.connect("html-page-context", offer, priority=100)
    app.connect("html-page-context", mark, priority=900)
    app.connect("build-finished", name_controls, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
