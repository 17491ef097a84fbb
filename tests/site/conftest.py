"""One server and one browser for all tests of the site."""

from collections.abc import Iterator

import pytest
from browsing import SITE, page_names, room, served
from playwright.sync_api import Browser, BrowserContext

from book.tools.browser import launched


def pytest_generate_tests(metafunc):
    """Every page of the site, for the tests that ask for one."""
    if "name" in metafunc.fixturenames:
        pages = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in page_names()]
        metafunc.parametrize("name", pages, scope="module")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium for the whole session."""
    with launched() as one:
        yield one


@pytest.fixture(scope="session")
def window(browser) -> Iterator[BrowserContext]:
    """One window for all pages, so that the scripts which they share are read once."""
    with room(browser) as one:
        yield one


@pytest.fixture(scope="session")
def http() -> Iterator[str]:
    """The site over http."""
    with served(SITE) as address:
        yield address


@pytest.fixture(scope="session")
def folder() -> str:
    """The site as a folder that was opened without a server."""
    return SITE.as_uri()
