"""The finished site, a server for it and a browser: what the tests of the site share."""

from __future__ import annotations

import functools
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from book.tools.catalogues import begun
from book.tools.language import LANGUAGES, SOURCE, STATIC

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("CLSLAB_SITE") or ROOT / "_build" / "smoke" / "_build" / "html").resolve()
OTHER_LANGUAGES = tuple(f"{one.tag}/" for code, one in LANGUAGES.items() if code != SOURCE)
AXE = ROOT / "tests" / "site" / "vendor" / "axe-core" / "axe.min.js"

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
THUMB = 44
"""Pixels that a finger hits."""

CONTROLS = (
    ".clslab-frames input, .clslab-player audio, .clslab-language, .bd-article summary, button, a.btn, "
    ".bd-sidebar-primary nav a, .toctree-toggle, .bd-sidebar-secondary nav a, input[type=search]"
)
"""What a thumb has to hit, in the drawers as well."""

PATIENCE = 300_000
"""Milliseconds until a page that does not come is given up; on a machine with other work half a minute is soon over."""


def all_page_names() -> list[str]:
    """Every page of the site, relative to it; not the one line at the root of each language that leads on.

    Raises:
        FileNotFoundError: if the site was not built.
    """
    if not (SITE / "index.html").is_file():
        raise FileNotFoundError(f"there is no site in {SITE}: `make site-smoke` builds it, or name one in $CLSLAB_SITE")
    found = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
    roots = {f"{prefix}index.html" for prefix in ("", *OTHER_LANGUAGES)}
    return [name for name in found if name not in roots and not name.startswith(STATIC)]


def page_names() -> list[str]:
    """The pages that are opened: all in English, and in another language those that are not the same but for the head.

    Raises:
        FileNotFoundError: if the site was not built.
    """
    english = [name for name in all_page_names() if not name.startswith(OTHER_LANGUAGES)]
    chapter = next(name for name in english if name.startswith("chapters/"))
    opened = []
    for code, one in LANGUAGES.items():
        if code != SOURCE and (SITE / one.tag).is_dir():
            translated = [f"{name}.html" for name in begun(ROOT, code)]
            opened += [f"{one.tag}/{name}" for name in (*translated, chapter, "genindex.html", "search.html")]
    return english + opened


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing: hundreds of requests would hide what a test prints."""

    def end_headers(self) -> None:
        """Says that a file stays as it is, so that the scripts of all pages are read once."""
        self.send_header("Cache-Control", "max-age=3600")
        super().end_headers()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A server for a folder on this machine; yields its address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@dataclass
class Visit:
    """One page, opened, and what was noticed while it loaded.

    Attributes:
        page: the open page.
        base: address of the site, `http://…` or `file://…`.
        outside: requests that would leave the site; the browser knows no other address.
        failed: requests to the site that failed, with their reason.
        console: warnings and errors of the console, and exceptions.
        loaded: paths of the site's files that were asked for.
    """

    page: Page
    base: str
    outside: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)

    def note_request(self, request: Request) -> None:
        """Sorts a request into those of the site and those that leave it."""
        if request.url.startswith(self.base + "/"):
            self.loaded.add(unquote(urlsplit(request.url.removeprefix(self.base + "/")).path))
        elif not request.url.startswith(("data:", "blob:")):
            self.outside.append(request.url)

    def note_message(self, message: ConsoleMessage) -> None:
        """Keeps what is more than a remark."""
        if message.type in ("warning", "error"):
            self.console.append(f"{message.type}: {message.text}")

    def open(self, name: str) -> None:
        """Goes to a page of the site and waits until its formulas are set."""
        self.page.goto(f"{self.base}/{name}", wait_until="load")
        self.page.evaluate("async () => { if (window.MathJax?.startup) { await window.MathJax.startup.promise } }")

    def unfold(self) -> None:
        """Opens hints, solutions and hidden code, which a reader opens sooner or later."""
        self.page.evaluate(_UNFOLD)

    def formulas(self) -> dict[str, int]:
        """Formulas of the page: how many there are, how many are drawn, how many errors.

        An unknown command is drawn as it is written, in red.
        """
        return self.page.evaluate(_FORMULAS)

    def width(self) -> int:
        """Pixels that the page needs; more than the window has make it scroll sideways."""
        return self.page.evaluate("document.documentElement.scrollWidth")

    def bare_tables(self) -> list[str]:
        """Beginnings of the tables without a header."""
        return self.page.evaluate(_BARE)

    def small_controls(self) -> list[tuple[float, str]]:
        """Shorter side and beginning of the controls that a thumb would miss."""
        return self.page.evaluate(_SMALL, [CONTROLS, THUMB - 0.5])

    def axe(self) -> list[str]:
        """What axe finds of serious or critical weight, but for colours, which `contrast` looks at."""
        self._load_axe()
        rules = [rule for rule in self.page.evaluate(_HEAVY_RULES) if rule not in COLOURS]
        return self._axe(rules, "document")

    def contrast(self, theme: str) -> list[str]:
        """What axe finds of too little contrast in one colour theme, and of links that only their colour tells apart.

        Contrast depends on colours and on whether the letters are large, for a link also on the text around it. Of
        all texts that share these one is looked at: a page of code has thousands of words and a dozen colours. What
        an earlier page showed to be good is not looked at again.
        """
        self.page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        looks = set(self.page.evaluate(_MARK_SAMPLES, sorted(_GOOD_LOOKS)))
        if not looks:
            return []
        self._load_axe()
        found = self._axe(COLOURS, "{include: [['[data-sample]']]}")
        if not found:
            _GOOD_LOOKS.update(looks)
        return found

    def _load_axe(self) -> None:
        if not self.page.evaluate("Boolean(window.axe)"):
            self.page.evaluate(AXE.read_text("utf-8"))

    def _axe(self, rules: list[str], context: str) -> list[str]:
        found = json.loads(self.page.evaluate(_RUN_AXE % context, rules))
        return [
            f"{one['id']} ({one['impact']}, {len(one['nodes'])} elements): {one['help']}\n    "
            + "\n    ".join(f"{node['html']}  {node['why']}" for node in one["nodes"][:4])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]


COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules of axe that ask for colours; they take most of its time, and the same few colours are on every page."""

_GOOD_LOOKS: set[str] = set()
"""Colours and sizes of letters that axe found good on some page of this session."""

_FORMULAS = """() => ({
  there: document.querySelectorAll('.math').length,
  drawn: [...document.querySelectorAll('.math')].filter(m => {
    const svg = m.querySelector('mjx-container svg');
    return svg && (svg.getBoundingClientRect().width > 0 || !m.checkVisibility());
  }).length,
  errors: document.querySelectorAll('[data-mml-node=merror], [data-mml-node=mtext][fill=red]').length,
})"""

_UNFOLD = """async () => {
  document.querySelectorAll('.bd-article details').forEach(one => { one.open = true });
  document.querySelectorAll('.bd-article .toggle-hidden').forEach(one => one.classList.remove('toggle-hidden'));
  const unreached = () => [...document.querySelectorAll('pre')].some(
    one => one.scrollWidth > one.clientWidth && one.tabIndex < 0);
  for (let tries = 0; tries < 50 && unreached(); tries++) {  // the theme waits a little, too
    await new Promise(done => setTimeout(done, 100));
  }
}"""

_BARE = """() => [...document.querySelectorAll('article table')]
  .filter(t => t.getAttribute('role') !== 'presentation' && !t.querySelector('th'))
  .map(t => t.outerHTML.slice(0, 200))"""

_SMALL = """([controls, thumb]) => [...document.querySelectorAll(controls)].filter(c => c.checkVisibility())
  .map(c => [(c.closest('label') ?? c).getBoundingClientRect(), c.outerHTML.slice(0, 120)])
  .map(([at, text]) => [Math.min(at.width, at.height), text]).filter(c => c[0] < thumb)"""

_HEAVY_RULES = """() => axe._audit.rules
  .filter(r => r.enabled && ['serious', 'critical'].includes(r.impact) && !r.tags.includes('experimental'))
  .map(r => r.id)"""
"""The rules that axe itself would run, but for those of moderate and minor weight, which are no failure here."""

_RUN_AXE = """async rules => {
  const found = await axe.run(%s, {runOnly: {type: 'rule', values: rules}, resultTypes: ['violations'],
    selectors: false, preload: false});
  return JSON.stringify(found.violations.map(v => ({id: v.id, impact: v.impact, help: v.help,
    nodes: v.nodes.map(n => ({html: n.html.slice(0, 160),
      why: (n.any[0] || n.all[0] || n.none[0] || {message: ''}).message.slice(0, 200)}))})));
}"""

_MARK_SAMPLES = """known => {
  for (const old of document.querySelectorAll('[data-sample]')) old.removeAttribute('data-sample');
  const seen = new Set(known);
  const fresh = [];
  const grounds = new Map([[null, '']]);
  const ground = one => {  // what is seen behind the letters of an element: its colours down to one without holes
    if (!grounds.has(one)) {
      const {opacity, backgroundColor} = getComputedStyle(one);
      const bare = backgroundColor === 'rgba(0, 0, 0, 0)';
      const own = (opacity === '1' ? '' : '|' + opacity) + (bare ? '' : '|' + backgroundColor);
      grounds.set(one, own + (bare || backgroundColor.startsWith('rgba') ? ground(one.parentElement) : ''));
    }
    return grounds.get(one);
  };
  const sample = (one, key) => {
    if (!seen.has(key)) { seen.add(key); fresh.push(key); one.dataset.sample = ''; }
  };
  for (const one of document.body.querySelectorAll('*')) {
    const text = [...one.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.nodeValue.trim());
    if (!text || !one.checkVisibility()) continue;
    const {color, fontSize, fontWeight} = getComputedStyle(one);
    const size = parseFloat(fontSize);
    const large = size >= 24 || (size >= 18.67 && fontWeight >= 700);
    sample(one, color + '|' + large + ground(one));
  }
  const letters = one => one.textContent.replace(/\\s/g, '').length;
  const face = one => {
    const s = getComputedStyle(one);
    return [s.color, s.textDecorationLine, s.borderBottom, s.fontWeight, s.fontStyle, s.fontFamily].join('|');
  };
  for (const link of document.body.querySelectorAll('a[href]')) {
    if (!link.checkVisibility() || getComputedStyle(link).display !== 'inline') continue;
    let block = link.parentElement;
    while (block !== document.body && getComputedStyle(block).display === 'inline') block = block.parentElement;
    const linked = [...block.querySelectorAll('a')].reduce((sum, a) => sum + letters(a), 0);
    if (letters(block) > linked) {
      sample(link, ['link', face(link), face(block), ground(link)].join('|'));
    }
  }
  return fresh;
}"""


@contextmanager
def room(browser: Browser) -> Iterator[BrowserContext]:
    """A window of the browser that keeps the files which its pages share, as a reader's does."""
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce")
    context.set_default_navigation_timeout(PATIENCE)
    context.set_default_timeout(PATIENCE / 5)
    yield context
    context.close()


@contextmanager
def tab(context: BrowserContext, base: str) -> Iterator[Visit]:
    """A fresh page of a window and its ears."""
    page = context.new_page()
    visit = Visit(page, base)
    page.on("request", visit.note_request)
    page.on("requestfailed", lambda request: visit.failed.append(f"{request.url}: {request.failure}"))
    page.on("console", visit.note_message)
    page.on("pageerror", lambda error: visit.console.append(f"exception: {error}"))
    if base.startswith("http"):
        page.on("response", lambda got: got.status >= 400 and visit.failed.append(f"{got.url}: {got.status}"))
    yield visit
    page.close()


@contextmanager
def visiting(browser: Browser, base: str) -> Iterator[Visit]:
    """A page in a window of its own, with nothing kept from other pages."""
    with room(browser) as context, tab(context, base) as visit:
        yield visit
