"""What several unit tests need."""

from collections.abc import Iterator

import pytest

from clslab import routes
from clslab.seeds import seed_everything


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """A test draws the same numbers whatever ran before it in its process, which differs from run to run."""
    seed_everything(0)


@pytest.fixture(scope="module")
def empty_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """No data set is here, whatever lies on the machine, and runs are small; for further changes, the patch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLSLAB_DATA", str(tmp_path_factory.mktemp("empty")))
        patch.setenv("CLSLAB_PROFILE", "smoke")
        patch.delenv("CLSLAB_DEVICE", raising=False)
        yield patch


@pytest.fixture(scope="module")
def shelf() -> routes.Shelf:
    """Shared by the runs of a module."""
    return routes.Shelf()
