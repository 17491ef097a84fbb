"""One server and one browser for all tests of the site."""

import re
from collections.abc import Iterator

import pytest
from browsing import SITE, page_names, room, served
from playwright.sync_api import Browser, BrowserContext
from xdist.scheduler import LoadScopeScheduling

from book.tools.browser import launched


def pytest_generate_tests(metafunc):
    """Every page of the site, for the tests that ask for one."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", page_names(), scope="module")


class ByPage(LoadScopeScheduling):
    """All tests of a page go to one worker, so that no two open it; the other tests go by file."""

    def _split_scope(self, nodeid: str) -> str:
        page = re.search(r"\[([\w/-]+\.html)", nodeid)
        return page[1] if page else nodeid.split("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Marks of the kind `xdist_group` would say the same, but pytest-xdist 3.8 loses them under pytest 9.2."""
    return ByPage(config, log)


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
