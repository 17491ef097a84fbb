"""The table of all networks."""

from types import SimpleNamespace

import pytest

from clslab import models
from clslab.models import atlas

TABLE = """A family.

=======  ====================  ==========  =====
name     paper                 parameters   MMAC
=======  ====================  ==========  =====
one      arXiv:1512.03385      11,220,132    555
  width = 8                       111,111      5
other    none, see `Other`          1,000      1
=======  ====================  ==========  =====

Prose about one,
  width = 3 and such
"""


def family(monkeypatch, text):
    monkeypatch.setattr(models, "FAMILIES", {"made_up": ("one", "other")})
    monkeypatch.setattr(atlas.importlib, "import_module", lambda _: SimpleNamespace(__doc__=text))


def test_every_network_has_one_row_of_its_full_size():
    names = [entry.name for entry in atlas.entries() if not entry.options]
    assert sorted(names) == models.list_models()
    assert list(atlas.table().index) == names


def test_rows_are_read_as_they_stand(monkeypatch):
    family(monkeypatch, TABLE)
    assert atlas.entries() == [
        atlas.Entry("one", "made_up", "1512.03385", 11_220_132, 555),
        atlas.Entry("one", "made_up", "1512.03385", 111_111, 5, {"width": 8}),
        atlas.Entry("other", "made_up", None, 1000, 1),
    ]
    assert [entry.year for entry in atlas.entries()] == [2015, 2015, None]


def test_a_missing_row_and_one_too_many_are_told(monkeypatch):
    family(monkeypatch, TABLE.partition("other ")[0])
    with pytest.raises(ValueError, match="other has 0 rows"):
        atlas.entries()
    family(monkeypatch, None)
    with pytest.raises(ValueError, match="one has 0 rows"):
        atlas.entries()
    family(monkeypatch, TABLE.replace("other   ", "one     "))
    with pytest.raises(ValueError, match="one has 2 rows"):
        atlas.entries()


def test_years_are_those_of_the_papers():
    years = atlas.table()["year"]
    assert years[["vgg16", "resnet18", "mobilenet", "vit_tiny"]].tolist() == [2014, 2015, 2017, 2020]
