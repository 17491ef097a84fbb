"""Which data sets this process has read, and from where; every figure carries it, and publishing asks for it.

`clslab.data.load` notes each set that it hands out. A picture that is stored for a page says in its own file whether
photographs or other rasters are drawn in it and which sets had been read by then (`stored_png`). So a site can be
looked over before it is published: a picture that says nothing about itself is nobody's, and is refused.

Taught in chapter 1.
"""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

CHUNK = "clslab"
"""Name of the text in a PNG file that `stored_png` writes."""

COLOURS = 256
"""Colours of a stored figure: with a palette it is a third as large."""

FAITHFUL = 2.0
"""Mean error, in steps of 1/255, up to which a palette is taken for as good as the original; photographs have more."""

_READ: dict[str, str] = {}


def note(name: str, source: str) -> None:
    """Notes that a set was read: `local`, `download`, `package` or `stand-in`."""
    if _READ.get(name, "stand-in") == "stand-in":
        _READ[name] = source


def noted() -> dict[str, str]:
    """Sets that this process has read, each with its source; once fetched data were read, that stays."""
    return dict(_READ)


def stored_png(png: bytes, *, rasters: bool, colours: int = COLOURS) -> bytes:
    """A figure as it is stored in a page: with few colours where nobody sees it, and with what is in it.

    Args:
        png: the figure as it was drawn.
        rasters: whether pictures are drawn in it, which might be photographs.
        colours: of the palette. With fewer than `COLOURS` it is taken whatever it costs.
    """
    with Image.open(BytesIO(png)) as opened:
        dpi = opened.info.get("dpi")
        picture = opened.convert("RGB")
    few = picture.quantize(colours)
    if colours < COLOURS or _error(picture, few) <= FAITHFUL:
        picture = few
    info = PngInfo()
    info.add_text(CHUNK, json.dumps({"rasters": rasters, "read": noted()}, sort_keys=True))
    stream = BytesIO()
    picture.save(stream, format="png", optimize=True, pnginfo=info, **({"dpi": dpi} if dpi else {}))
    return stream.getvalue()


def said_by(png: bytes) -> dict[str, Any] | None:
    """What a stored figure says about itself, `rasters` and `read`; None for any other picture."""
    with Image.open(BytesIO(png)) as picture:
        picture.load()
        text = getattr(picture, "text", {}).get(CHUNK)
    return json.loads(text) if text else None


def _error(picture: Image.Image, few: Image.Image) -> float:
    before = np.asarray(picture, dtype=np.int16)
    return float(np.abs(before - np.asarray(few.convert("RGB"), dtype=np.int16)).mean())
