"""A public site shows what is listed and credited; everything else is refused by page and item."""

import base64
import hashlib
import html
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from books import edit
from PIL import Image

from book.tools import publish
from book.tools.pages import BookError
from clslab import origins

ALLOWED = publish.Listed({"debris": "Photographs: Thung & Yang, MIT."}, {})
PAGE = "<html><body><article>{}</article></body></html>"
WIDGETS = "application/vnd.jupyter.widget-state+json"
BY_SA = "https://creativecommons.org/licenses/by-sa/4.0/"


def photograph(kind: str = "png") -> bytes:
    """Noise as a picture file of the kind, without a word about itself."""
    stream = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def figure(monkeypatch):
    """Stores a figure as a process would that had read some sets."""

    def stored(*, rasters: bool, **read: str) -> bytes:
        monkeypatch.setattr(origins, "_READ", {})
        for name, source in read.items():
            origins.note(name, source)
        return origins.stored_png(photograph(), rasters=rasters)

    return stored


@pytest.fixture
def site(tmp_path):
    """Writes one page of a site, with a picture beside it if one is given."""

    def written(body: str, picture: bytes | None = None) -> Path:
        folder = tmp_path / "html"
        (folder / "_images").mkdir(parents=True, exist_ok=True)
        (folder / "chapters").mkdir(exist_ok=True)
        (folder / "chapters" / "01_page.html").write_text(PAGE.format(body), "utf-8")
        if picture is not None:
            (folder / "_images" / "shown.png").write_bytes(picture)
        return folder

    return written


def data(kind: str, raw: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(raw).decode()}"


IMAGE = '<img src="../_images/shown.png" alt="A bottle.">'


def test_what_says_nothing_about_itself_is_refused_by_page_and_item(site):
    found = publish.faults(site(IMAGE, photograph()), ALLOWED)
    assert len(found) == 1
    assert found[0].startswith("chapters/01_page.html: _images/shown.png: nothing says where it comes from")


@pytest.mark.parametrize(
    "body",
    [
        f'<img src="{data("image/jpeg", photograph("jpeg"))}" alt="A dog.">',
        f'<p style="background: url({data("image/png", photograph())})">A dog.</p>',
        f'<picture><source srcset="{data("image/webp", photograph("webp"))} 2x"></picture>',
        f'<svg><image href="{data("image/png", photograph())}"/></svg>',
        f'<video poster="{data("image/png", photograph())}"></video>',
        f'<input data-frames="{html.escape(json.dumps([{"src": data("image/png", photograph())}]))}">',
        f'<audio src="{data("audio/wav", b"RIFF")}"></audio>',
        f'<div class="clslab-player" data-origin="{BY_SA}"></div><audio src="{data("audio/wav", b"RIFF")}"></audio>',
        f'<div class="clslab-player" data-origin=""><audio src="{data("audio/wav", b"RIFF")}"></audio></div>',
        f'<div class="clslab-player" data-origin="{BY_SA.replace("by-sa", "by-nc-sa")}">'
        f'<audio><source src="{data("audio/wav", b"RIFF")}"></audio></div>',
        f'<div class="clslab-player" data-origin="synthetic"><img src="{data("image/png", photograph())}"></div>',
        '<img src="https://example.org/dog.jpg" alt="A dog.">',
        '<img src="../../dog.jpg" alt="A dog.">',
        '<img src="data:image/png;base64,???" alt="A dog.">',
        f'<object data="{data("image/png", photograph())}"></object>',
        f'<input type="image" src="{data("image/png", photograph())}" alt="A dog.">',
        f'<iframe srcdoc="{html.escape("<img src=" + data("image/png", photograph()) + ">")}"></iframe>',
        f"<style>p {{ background: url({data('image/png', photograph())}) }}</style>",
        f'<script>show("{data("image/png", photograph())}")</script>',
        f'<script type="{WIDGETS}">{json.dumps({"state": {"a": {"model_name": "ImageModel"}}})}</script>',
        f'<script type="{WIDGETS}">{json.dumps({"state": {"a": {"buffers": [{"data": "UE5H"}]}}})}</script>',
        f'<div class="clslab-player" data-origin="{BY_SA}"><audio src="{data("audio/wav", b"RIFF")}"></audio></div>',
        f'<div class="clslab-player" data-origin="{BY_SA}"><audio src="{data("audio/wav", b"RIFF")}"></audio>'
        "<small> </small></div><small>Somebody</small>",
    ],
    ids=range(23),
)
def test_no_way_of_embedding_is_overlooked(site, body):
    found = publish.faults(site(body), ALLOWED)
    assert len(found) == 1
    assert found[0].startswith("chapters/01_page.html: ")


def test_a_file_that_no_page_embeds_is_found(site):
    found = publish.faults(site("", photograph()), ALLOWED)
    assert [line.split(":")[0] for line in found] == ["_images/shown.png, which no page embeds"]


def test_pictures_of_a_set_are_shown_if_it_is_listed(site, figure):
    assert publish.faults(site(IMAGE, figure(rasters=True, cifar100="stand-in")), ALLOWED) == []
    assert publish.faults(site(IMAGE, figure(rasters=False, cifar100="local")), ALLOWED) == []
    found = publish.faults(site(IMAGE, figure(rasters=True, cifar100="local", debris="local")), ALLOWED)
    assert len(found) == 1
    assert "drawn after cifar100 had been read" in found[0]


def test_what_is_listed_needs_its_credit_and_gets_it(site, figure):
    folder = site(IMAGE, figure(rasters=True, debris="download"))
    found = publish.faults(folder, ALLOWED)
    assert found == [
        "chapters/01_page.html: _images/shown.png: the page does not say “Photographs: Thung & Yang, MIT.”"
    ]
    publish.credit_pages(folder, ALLOWED)
    assert publish.faults(folder, ALLOWED) == []
    once = (folder / "chapters" / "01_page.html").read_text("utf-8")
    assert once.count("Thung &amp; Yang") == 1
    publish.credit_pages(folder, ALLOWED)
    assert (folder / "chapters" / "01_page.html").read_text("utf-8") == once


def test_single_items_are_listed_by_their_sum(site):
    raw = photograph()
    allowed = publish.Listed({}, {hashlib.sha256(raw).hexdigest(): "Dog: A. Person, CC BY 4.0."})
    folder = site(IMAGE, raw)
    assert len(publish.faults(folder, allowed)) == 1
    publish.credit_pages(folder, allowed)
    assert publish.faults(folder, allowed) == []


@pytest.mark.parametrize("origin", ["synthetic", BY_SA])
def test_players_of_open_sounds_pass(site, origin):
    credit = "" if origin == "synthetic" else "<small>A. Person, CC BY-SA</small>"
    sound = f'<audio src="{data("audio/wav", b"RIFF")}"></audio>'
    body = f'<div class="clslab-player" data-origin="{origin}"><span>A call</span>{sound}{credit}</div>'
    assert publish.faults(site(body), ALLOWED) == []
    assert (
        publish.faults(site(body + "<p>An address such as data:image/png;base64,iVBOR is a text.</p>"), ALLOWED) == []
    )


def test_once_fetched_data_were_read_a_stand_in_does_not_hide_it(figure):
    said = origins.said_by(figure(rasters=True, debris="local"))
    assert said == {"rasters": True, "read": {"debris": "local"}}
    origins.note("debris", "stand-in")
    assert origins.noted() == {"debris": "local"}


def test_the_list_itself_is_checked(small):
    path = small / publish.LIST
    path.write_text('[[set]]\nname = "debris"\nlicence = "MIT"\ncredit = " "\n', "utf-8")
    with pytest.raises(BookError, match="has no credit"):
        publish.listed(small)
    path.write_text('[[set]]\nname = "holidays"\nlicence = "MIT"\ncredit = "me"\n', "utf-8")
    with pytest.raises(BookError, match="no set 'holidays'"):
        publish.listed(small)


def test_the_public_data_folder_holds_the_listed_sets_only(tmp_path, monkeypatch):
    for folder, markers in (("debris", ("train", "val", "test")), ("cifar-100-python", ("train", "test", "meta"))):
        for marker in markers:
            (tmp_path / "mine" / folder / marker).mkdir(parents=True)
    (tmp_path / "mine" / "debris" / "labels.csv").touch()
    monkeypatch.setenv("CLSLAB_DATA", str(tmp_path / "mine"))
    publish.public_data(tmp_path / "public", publish.Listed({"debris": "x", "pets": "y"}, {}))
    assert [path.name for path in (tmp_path / "public").iterdir()] == ["debris"]


FIGURE = """from clslab import plots

plots.bowl_paths({"SGD": [(1.0, 2.0), (0.5, 1.0)]}, curvatures=(1.0, 8.0), alt="A path.")"""


def test_a_book_is_built_but_not_published_until_its_pictures_say_what_they_are(small, chapter, tool):
    done = tool("publish", small)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "chapters/00_sample.html: _images/" in done.stderr
    assert "not to be published: 1 item(s)" in done.stderr
    public = small / "_build" / "public"
    assert not (public / "_build" / "html").exists()
    assert (public / "refused" / "chapters" / "00_sample.html").is_file()

    edit(chapter, "import matplotlib.pyplot as plt\n\n_ = plt.plot([0, 1])", FIGURE)
    done = tool("publish", small)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "may be published" in done.stdout
