"""A Chromium without a window and without a network: what the PDF and the tests of the site share."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

BROWSERS = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
"""The first one draws no window that nobody sees, and opens a page with half the work."""

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
"""The last one is the network: no name is looked up, so what is not on this machine cannot be loaded."""

NO_BROWSER = (
    "no Chromium was found. Install it (Debian: apt-get install chromium-headless-shell; "
    "elsewhere: make browser), or name one in $CLSLAB_BROWSER."
)


def program(playwright: Playwright) -> str:
    """The Chromium that $CLSLAB_BROWSER names, or the system's, or playwright's own.

    Raises:
        FileNotFoundError: if there is none on this machine.
    """
    named = os.environ.get("CLSLAB_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    found = named or playwright.chromium.executable_path
    if not Path(found).is_file():
        raise FileNotFoundError(NO_BROWSER)
    return found


@contextmanager
def launched() -> Iterator[Browser]:
    """A Chromium without a window.

    Raises:
        FileNotFoundError: if there is none on this machine.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(playwright), args=FLAGS)
        yield browser
        browser.close()


if __name__ == "__main__":  # `make site-check` asks whether there is a browser
    with sync_playwright() as here:
        try:
            print(program(here))
        except FileNotFoundError as error:
            sys.exit(str(error))
