"""Drawn stand-ins: same classes, sizes, shapes and groups as the real sets, no network, no photograph.

A stand-in lets every page run. It is built to be learnable, not to be easy, and to have the faults
of the real set that the course teaches: a colour shortcut (debris), heads at the edge of the picture
(cats and dogs), modules that give themselves away by their brightness (solar). No number measured on
a drawing is a result on the real set.

Pictures are drawn when asked for, a few milliseconds each, from a random state of their own: item i
is the same whatever was drawn before it. `ImageDataset.cache_pixels` keeps them in memory.

Taught in chapters 1 and 4.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from clslab.data.images import ImageDataset

Rng = np.random.Generator
Colour = tuple[int, int, int, int]

# One number per set, so that two sets of one seed share no random state.
_DEBRIS, _ANIMALS, _SOLAR, _MULTIVIEW, _CIFAR100 = range(1, 6)


@dataclass(frozen=True)
class Drawing:
    """A picture that is drawn when called. `painter` is a function of this module, so it pickles."""

    painter: Callable[..., np.ndarray]
    arguments: tuple[Any, ...]

    def __call__(self) -> np.ndarray:
        """The picture, a uint8 array `[H, W, 3]`."""
        return self.painter(*self.arguments)


# ---------------------------------------------------------------- brushes


@functools.lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """Noise of unit variance. Drawn once: normal numbers cost more than all the rest of a picture."""
    return np.random.default_rng(0).normal(size=(768, 768)).astype(np.float32)


def _noise(rng: Rng, height: int, width: int) -> np.ndarray:
    y, x = rng.integers(0, 768 - height), rng.integers(0, 768 - width)
    return _grain()[y : y + height, x : x + width, None]


def _clouds(rng: Rng, height: int, width: int, cells: int) -> np.ndarray:
    """Soft random patches in about [-1, 1], `[H, W, 1]`, about `cells` along the longer side."""
    step = max(height, width) / cells
    rows, columns = max(2, round(height / step)), max(2, round(width / step))
    coarse = Image.fromarray(rng.normal(size=(rows, columns)).astype(np.float32) * 0.6)
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))[..., None]


def _slope(rng: Rng, height: int, width: int) -> np.ndarray:
    """A slow change of light across the picture in [-1, 1], `[H, W, 1]`."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None]
    return ((np.cos(angle) * x + np.sin(angle) * y) / np.sqrt(2)).astype(np.float32)[..., None]


def _backdrop(coarse: np.ndarray, height: int, width: int) -> Image.Image:
    """A smooth picture from a few pixels: what varies slowly need not be computed at full size."""
    small = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def _developed(picture: Image.Image, rng: Rng, gain: float, grain: float) -> np.ndarray:
    """The finished picture: exposure and the noise of the camera."""
    pixels = np.asarray(picture, dtype=np.float32) * np.float32(gain)
    pixels += _noise(rng, *pixels.shape[:2]) * np.float32(grain)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _ink(colour: Sequence[float] | np.ndarray, factor: float = 1, alpha: float = 1) -> Colour:
    """A colour made brighter or darker, as PIL takes it. Plain ints: this runs very often."""
    red, green, blue = (min(255, max(0, int(channel * factor))) for channel in colour)
    return red, green, blue, min(255, max(0, int(alpha * 255)))


def _over(below: Image.Image, layer: Image.Image, left: int, top: int) -> None:
    """Lay an RGBA layer over an RGB picture, in place, with a soft shadow."""
    mask = layer.getchannel("A")
    soft = mask.reduce(8).point([level * 3 // 10 for level in range(256)])
    below.paste((0, 0, 0), (left + 5, top + 7), soft.resize(mask.size, Image.Resampling.BILINEAR))
    below.paste(layer, (left, top), layer)


def _turned(layer: Image.Image, angle: float, side: int) -> Image.Image:
    turned = layer.rotate(angle, resample=Image.Resampling.BILINEAR)
    return turned.resize((side, side), Image.Resampling.BILINEAR)


# ---------------------------------------------------------------- debris

_MATERIALS = ("plastic", "glass", "metal", "paper", "cardboard")
_SIDE = 240


def debris(*, seed: int = 0) -> dict[str, ImageDataset]:
    """Plastic or other on a table: 952, 244 and 244 drawings of 299 × 224, as in the real set.

    A group is a block of twelve pictures of one material under one light, in which every object
    is seen twice. Light and table differ a little between plastic and the rest: a shortcut.
    """
    counts = {"train": (312, 160), "val": (84, 40), "test": (84, 40)}
    return {split: _debris_split(seed, number, split, *counts[split]) for number, split in enumerate(counts)}


def _debris_split(seed: int, number: int, split: str, plastic: int, each: int) -> ImageDataset:
    rows = [(material, i) for material in sorted(_MATERIALS) for i in range(plastic if material == "plastic" else each)]
    label = [int(material == "plastic") for material, _ in rows]
    return ImageDataset(
        [Drawing(_debris_picture, (seed, number, _MATERIALS.index(material), i)) for material, i in rows],
        label,
        ("other", "plastic"),
        groups=[f"{split}/{material}-{i // 12:03d}" for material, i in rows],
        ids=[f"{split}/{material}{i}" for material, i in rows],
        extra={"material": np.array([material for material, _ in rows])},
    )


def _debris_picture(seed: int, split: int, material: int, i: int) -> np.ndarray:
    block = np.random.default_rng((_DEBRIS, seed, split, material, i // 12))
    thing = np.random.default_rng((_DEBRIS, seed, split, material, 1000 + i // 2))
    view = np.random.default_rng((_DEBRIS, seed, split, material, 100000 + i))
    height, width = 224, 299
    # The shortcut: plastic was photographed in slightly cooler and brighter light.
    cool = 4.0 if material == 0 else -2.0
    table = block.normal(186, 14) + np.array([-cool, 0.0, cool]) + block.normal(0, 6, 3) + cool
    coarse = table + _slope(view, 28, 37) * block.uniform(5, 26) + _clouds(block, 28, 37, 5) * 5
    picture = _backdrop(coarse, height, width)
    side = int(view.uniform(150, 225))
    layer = _turned(_OBJECTS[_MATERIALS[material]](thing), view.uniform(0, 360), side)
    left = int((width - side) / 2 + view.uniform(-45, 45))
    top = int((height - side) / 2 + view.uniform(-25, 25))
    _over(picture, layer, left, top)
    return _developed(picture, view, view.normal(1, 0.05), 4)


def _blank() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    layer = Image.new("RGBA", (_SIDE, _SIDE))
    return layer, ImageDraw.Draw(layer, "RGBA")


def _outline(rng: Rng, wobble: float, points: int = 40, stretch: float = 1.0) -> list[Any]:
    """A closed blob around the centre of the layer."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radius = np.full(points, 62.0)
    for harmonic in range(2, 7):
        size = rng.normal(0, wobble / harmonic)
        radius *= 1 + size * np.cos(harmonic * angle + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 18, 110)
    x = np.clip(_SIDE / 2 + radius * stretch * np.cos(angle), 6, _SIDE - 6)
    y = np.clip(_SIDE / 2 + radius / stretch * np.sin(angle), 6, _SIDE - 6)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _bottle(draw: ImageDraw.ImageDraw, rng: Rng, fill: Any, edge: Any, line: int) -> float:
    """A bottle lying upright in the layer; returns half its width."""
    half, neck = rng.uniform(30, 46), rng.uniform(10, 15)
    draw.rounded_rectangle(
        (120 - half, 80, 120 + half, 225), radius=rng.uniform(8, 22), fill=fill, outline=edge, width=line
    )
    shoulder = [(120 - half + 4, 88), (120 - neck, 50), (120 + neck, 50), (120 + half - 4, 88)]
    draw.polygon(shoulder, fill=fill, outline=edge)
    draw.rectangle((120 - neck, 22, 120 + neck, 52), fill=fill, outline=edge, width=line)
    return half


def _plastic(rng: Rng) -> Image.Image:
    layer, draw = _blank()
    tint = rng.choice([[205, 225, 240], [150, 195, 235], [170, 220, 190], [235, 235, 238], [235, 150, 140]])
    fill, edge = _ink(tint, 1.0, rng.uniform(0.3, 0.75)), _ink(tint, 0.62, 0.55)
    if rng.random() < 0.5:
        half = _bottle(draw, rng, fill, edge, 2)
        if rng.random() < 0.7:
            draw.rectangle((106, 16, 134, 40), fill=_ink(rng.uniform(30, 255, 3), 1, 1))
        for y in np.arange(100, 220, rng.uniform(9, 18)):
            draw.line((120 - half + 3, y, 120 + half - 3, y), fill=_ink(tint, 0.8, 0.4), width=2)
    else:
        blob = _outline(rng, 0.35, stretch=rng.uniform(0.8, 1.3))
        draw.polygon(blob, fill=fill, outline=edge, width=2)
        for _ in range(rng.integers(4, 9)):
            a, b = rng.integers(0, len(blob), 2)
            draw.line((*blob[a], *blob[b]), fill=_ink(tint, 1.15, 0.35), width=int(rng.integers(1, 4)))
    for _ in range(rng.integers(2, 6)):
        x, y = rng.uniform(85, 150), rng.uniform(80, 190)
        w, h = rng.uniform(3, 9), rng.uniform(8, 34)
        draw.ellipse((x - w, y - h, x + w, y + h), fill=(255, 255, 255, int(rng.uniform(90, 220))))
    return layer


def _glass(rng: Rng) -> Image.Image:
    layer, draw = _blank()
    tint = rng.choice([[70, 120, 70], [130, 85, 40], [190, 215, 210], [205, 220, 228]])
    fill, edge = _ink(tint, 1.0, rng.uniform(0.35, 0.8)), _ink(tint, 0.45, 0.8)
    if rng.random() < 0.75:
        half = _bottle(draw, rng, fill, edge, 4)
        x = 120 - half * rng.uniform(0.3, 0.8)
        draw.line((x, 95, x, 205), fill=(255, 255, 255, int(rng.uniform(90, 200))), width=5)
        if rng.random() < 0.5:
            label = (120 - half, 125, 120 + half, 185)
            draw.rectangle(label, fill=_ink(rng.uniform(90, 245, 3), 1, 0.95))
    else:
        # A shard: few corners, straight edges.
        shard = _outline(rng, 0.5, points=int(rng.integers(5, 8)))
        draw.polygon(shard, fill=fill, outline=edge, width=4)
        draw.line((*shard[0], *shard[2]), fill=(255, 255, 255, 130), width=3)
    return layer


def _metal(rng: Rng) -> Image.Image:
    layer, draw = _blank()
    half = rng.uniform(34, 55)
    colour = rng.choice([[175, 178, 184], [195, 60, 55], [50, 90, 165], [120, 122, 128]])
    top, bottom = 50 + rng.uniform(0, 30), 200
    draw.ellipse((120 - half, bottom - 14, 120 + half, bottom + 14), fill=_ink(colour, 0.6, 1))
    phase = rng.uniform(0, 3)
    # A cylinder: its light varies across, not along.
    for step in range(int(2 * half)):
        light = 0.75 + 0.4 * np.sin(step / half * 2.4 + phase) ** 2
        draw.line((120 - half + step, top, 120 - half + step, bottom), fill=_ink(colour, light, 1), width=2)
    draw.ellipse((120 - half, top - 13, 120 + half, top + 13), fill=(200, 203, 208, 255), outline=(95, 96, 100, 255))
    if rng.random() < 0.6:
        x, y = rng.uniform(90, 140), rng.uniform(90, 170)
        dent = [(x, y), (x + 25, y + 8), (x + 18, y + 30), (x - 8, y + 22)]
        draw.polygon(dent, fill=_ink(colour, 0.5, 0.6))
    return layer


def _paper(rng: Rng) -> Image.Image:
    layer, draw = _blank()
    white = rng.uniform(205, 250) + rng.normal(0, 5, 3)
    half, tall = rng.uniform(48, 78), rng.uniform(62, 95)
    corners = np.array([[-half, -tall], [half, -tall], [half, tall], [-half, tall]]) + 120
    sheet = [tuple(corner) for corner in (corners + rng.normal(0, 7, (4, 2))).tolist()]
    draw.polygon(sheet, fill=_ink(white, 1, 1), outline=_ink(white, 0.72, 1))
    if rng.random() < 0.7:
        for y in np.arange(120 - tall + 18, 120 + tall - 14, rng.uniform(8, 14)):
            end = 120 + half * rng.uniform(0.2, 0.8)
            draw.line((120 - half + 14, y, end, y), fill=_ink(white, 0.5, 0.8), width=2)
    for _ in range(rng.integers(0, 6)):
        x, y = rng.uniform(70, 170, 2)
        crease = (x, y, x + rng.normal(0, 45), y + rng.normal(0, 45))
        draw.line(crease, fill=_ink(white, 0.84, 0.9), width=2)
    return layer


def _cardboard(rng: Rng) -> Image.Image:
    layer, draw = _blank()
    brown = np.array([186, 142, 98]) * rng.uniform(0.75, 1.15) + rng.normal(0, 6, 3)
    half, tall, lift = rng.uniform(50, 75), rng.uniform(35, 65), rng.uniform(12, 40)
    box = (120 - half, 130 - tall, 120 + half, 130 + tall)
    draw.rectangle(box, fill=_ink(brown, 1, 1), outline=_ink(brown, 0.6, 1), width=2)
    lid = [(box[0], box[1]), (box[0] + lift, box[1] - lift), (box[2] + lift * 0.6, box[1] - lift), (box[2], box[1])]
    draw.polygon(lid, fill=_ink(brown, 1.16, 1), outline=_ink(brown, 0.6, 1))
    for x in np.arange(box[0] + 4, box[2], 5):
        draw.line((x, box[1], x, box[3]), fill=_ink(brown, 0.92, 0.5))
    if rng.random() < 0.6:
        middle = (box[0] + box[2]) / 2
        draw.rectangle((middle - 8, box[1], middle + 8, box[3]), fill=_ink(brown, 1.25, 0.8))
    return layer


_OBJECTS: dict[str, Callable[[Rng], Image.Image]] = {
    "plastic": _plastic,
    "glass": _glass,
    "metal": _metal,
    "paper": _paper,
    "cardboard": _cardboard,
}

# ---------------------------------------------------------------- cats and dogs


def catsdogs(*, seed: int = 0) -> dict[str, ImageDataset]:
    """Cats and dogs: 1,500 and 400 drawings, short side 224, heads mostly away from the middle."""
    return {"train": _animals(seed, 0, "train", 750, 750), "val": _animals(seed, 1, "val", 200, 200)}


def pets(*, seed: int = 0) -> dict[str, ImageDataset]:
    """Cats and dogs in the sizes of the Oxford-IIIT pets' two-class split, a test split included."""
    sizes = {"train": (950, 1994), "val": (238, 498), "test": (1183, 2486)}
    return {split: _animals(seed, 10 + i, split, *sizes[split]) for i, split in enumerate(sizes)}


def _animals(seed: int, number: int, split: str, cats: int, dogs: int) -> ImageDataset:
    rows = [(0, i) for i in range(cats)] + [(1, i) for i in range(dogs)]
    return ImageDataset(
        [Drawing(_animal_picture, (seed, number, dog, i)) for dog, i in rows],
        [dog for dog, _ in rows],
        ("cat", "dog"),
        ids=[f"{split}/{('cat', 'dog')[dog]}{i}" for dog, i in rows],
    )


def _animal_picture(seed: int, split: int, dog: int, i: int) -> np.ndarray:
    rng = np.random.default_rng((_ANIMALS, seed, split, dog, i))
    aspect = float(np.exp(rng.normal(0.15, 0.3)))
    aspect = float(np.clip(aspect, 0.6, 1.8))
    height, width = (round(224 / aspect), 224) if aspect < 1 else (224, round(224 * aspect))
    picture = _room(rng, height, width)
    fur = np.array([[165, 130, 95], [95, 80, 70], [205, 185, 160], [130, 125, 125], [55, 50, 50]])
    # A weak habit of colour, as in life: more brown dogs, more grey cats.
    weights = np.array([0.3, 0.22, 0.26, 0.1, 0.12] if dog else [0.2, 0.14, 0.18, 0.3, 0.18])
    colour = fur[rng.choice(5, p=weights)] * rng.uniform(0.85, 1.15) + rng.normal(0, 7, 3)
    x, y, size = _head_place(rng, height, width)
    layer = Image.new("RGBA", (width, height))
    draw = ImageDraw.Draw(layer, "RGBA")
    _body(draw, rng, (x, y), (width, height), size, colour)
    _head(draw, rng, (x, y), size, colour, bool(dog))
    angle = rng.uniform(-14, 14)
    layer = layer.rotate(angle, resample=Image.Resampling.BILINEAR, center=(x, y))
    _over(picture, layer, 0, 0)
    return _developed(picture, rng, rng.normal(1, 0.1), rng.uniform(3, 9))


def _room(rng: Rng, height: int, width: int) -> Image.Image:
    """A wall, a floor and a few things: enough to be in the way."""
    rows, columns = height // 8, width // 8
    wall, floor = _dull(rng), _dull(rng)
    coarse = wall + _clouds(rng, rows, columns, 9) * 14 + _slope(rng, rows, columns) * rng.uniform(0, 25)
    coarse[int(rows * rng.uniform(0.5, 0.85)) :] += floor - wall
    canvas = _backdrop(coarse, height, width)
    draw = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(2, 7)):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        w, h = rng.uniform(8, 60, 2)
        shape = draw.ellipse if rng.random() < 0.4 else draw.rectangle
        shape((x - w, y - h, x + w, y + h), fill=_ink(_dull(rng)))
    return canvas


def _dull(rng: Rng) -> np.ndarray:
    """A colour of things indoors: any brightness, little saturation."""
    return rng.uniform(50, 215) + rng.normal(0, 18, 3)


def _head_place(rng: Rng, height: int, width: int) -> tuple[float, float, float]:
    """Where the head is and its radius: usually at the upper or outer edge, as photographs go."""
    size = rng.uniform(34, 52)
    x, y = width / 2 + rng.normal(0, 16), size * 1.5 + rng.uniform(0, 14)
    if width > 1.15 * height:
        side = rng.choice([-1, 1])
        x = width / 2 + side * (width / 2 - size * rng.uniform(1.15, 1.6))
        y = height * rng.uniform(0.4, 0.55)
    if rng.random() < 0.25:
        x, y = width / 2 + rng.normal(0, 12), height / 2 + rng.normal(0, 12)
    return float(x), float(y), float(size)


def _body(
    draw: ImageDraw.ImageDraw,
    rng: Rng,
    head: tuple[float, float],
    frame: tuple[int, int],
    size: float,
    colour: np.ndarray,
) -> None:
    """From the head towards the middle of the picture and on, the same for both animals."""
    x, y = head
    width, height = frame
    middle, low = (x + width / 2) / 2 + (width / 2 - x) * 0.3, height * rng.uniform(0.72, 0.85)
    across, down = max(size * 1.5, abs(x - middle) * 1.3), max(size * 1.3, low - y)
    trunk = (middle - across, low - down * 0.75, middle + across, low + size * 1.5)
    draw.ellipse(trunk, fill=_ink(colour, 0.92, 1), outline=_ink(colour, 0.7, 1), width=2)
    draw.line((x, y, middle, low), fill=_ink(colour, 0.95, 1), width=int(size * 1.3))
    if rng.random() < 0.4:
        for stripe in np.linspace(middle - across * 0.7, middle + across * 0.7, 6):
            draw.line((stripe, low - down * 0.3, stripe + 6, low + size), fill=_ink(colour, 0.6, 0.7), width=5)


def _head(
    draw: ImageDraw.ImageDraw,
    rng: Rng,
    centre: tuple[float, float],
    size: float,
    colour: np.ndarray,
    dog: bool,
) -> None:
    x, y = centre
    # Some dogs prick their ears: then only the muzzle tells.
    floppy = dog and rng.random() < 0.8
    ear, inner = _ink(colour, rng.uniform(0.6, 0.9), 1), _ink((215, 150, 145), 1, 0.9)
    if not floppy:
        for side in (-1, 1):
            tip = (x + side * size * rng.uniform(0.75, 1.0), y - size * rng.uniform(1.3, 1.6))
            near, far = (x + side * size * 0.2, y - size * 0.75), (x + side * size * 0.95, y - size * 0.2)
            draw.polygon([near, tip, far], fill=_ink(colour, 0.9, 1), outline=_ink(colour, 0.6, 1))
            mid = ((near[0] + far[0]) / 2, (near[1] + far[1]) / 2)
            small = [tuple(0.55 * np.array(p) + 0.45 * np.array(mid)) for p in (near, tip, far)]
            draw.polygon(small, fill=inner)
    skull = rng.uniform(0.82, 0.98) if dog else rng.uniform(0.95, 1.1)
    draw.ellipse(
        (x - size * skull, y - size, x + size * skull, y + size), fill=_ink(colour, 1, 1), outline=_ink(colour, 0.7, 1)
    )
    if floppy:
        drop = rng.uniform(0.9, 1.35)
        for side in (-1, 1):
            cx = x + side * size * rng.uniform(0.85, 1.0)
            box = (cx - size * 0.3, y - size * 0.8, cx + size * 0.3, y - size * 0.8 + size * drop)
            draw.ellipse(box, fill=ear, outline=_ink(colour, 0.5, 1))
    _face(draw, rng, centre, size, colour, dog)


def _face(
    draw: ImageDraw.ImageDraw,
    rng: Rng,
    centre: tuple[float, float],
    size: float,
    colour: np.ndarray,
    dog: bool,
) -> None:
    x, y = centre
    iris = _ink(
        rng.choice([[90, 60, 30], [60, 45, 30]] if dog else [[150, 180, 70], [90, 150, 190], [200, 160, 60]]), 1, 1
    )
    for side in (-1, 1):
        ex, ey, r = x + side * size * 0.38, y - size * 0.18, size * (0.12 if dog else 0.18)
        draw.ellipse((ex - r, ey - r, ex + r, ey + r), fill=iris)
        slit = r * (0.6 if dog else 0.25)
        draw.ellipse((ex - slit, ey - r, ex + slit, ey + r), fill=(10, 10, 10, 255))
    if dog:
        long = rng.uniform(0.75, 1.05)
        muzzle = (x - size * 0.42, y, x + size * 0.42, y + size * long)
        draw.ellipse(muzzle, fill=_ink(colour, 1.2, 1), outline=_ink(colour, 0.75, 1))
        draw.ellipse((x - size * 0.2, y + size * 0.12, x + size * 0.2, y + size * 0.4), fill=(25, 22, 22, 255))
        if rng.random() < 0.4:
            draw.ellipse((x - size * 0.13, y + size * 0.65, x + size * 0.13, y + size * 1.1), fill=(215, 95, 105, 255))
    else:
        draw.ellipse((x - size * 0.34, y + size * 0.2, x + size * 0.34, y + size * 0.62), fill=_ink(colour, 1.2, 1))
        nose = [(x - size * 0.1, y + size * 0.22), (x + size * 0.1, y + size * 0.22), (x, y + size * 0.36)]
        draw.polygon(nose, fill=(205, 120, 125, 255))
        for side in (-1, 1):
            for rise in (-0.12, 0.0, 0.12):
                end = (x + side * size * 1.25, y + size * (0.38 + rise * 2))
                draw.line((x + side * size * 0.2, y + size * 0.38, *end), fill=(240, 240, 240, 200))


# ---------------------------------------------------------------- solar cells

_CELLS, _MODULE = 2624, 60


def solar(*, seed: int = 0) -> ImageDataset:
    """2,624 grey cells of 300 × 300 in modules of 60, unsplit, with the columns of the real set.

    A module has its own brightness, light and share of defects, so a model can learn to know
    modules: that is what leaks through a random split.
    """
    probability, cell = np.empty(_CELLS), np.empty(_CELLS, dtype="<U4")
    for module in range(-(-_CELLS // _MODULE)):
        rng = np.random.default_rng((_SOLAR, seed, module))
        rows = slice(module * _MODULE, min((module + 1) * _MODULE, _CELLS))
        size = rows.stop - rows.start
        cell[rows] = "mono" if rng.random() < 0.41 else "poly"
        broken = rng.random(size) < rng.beta(0.9, 2.0)
        sure = rng.random(size) < np.where(broken, 0.87, 0.84)
        probability[rows] = np.where(broken, np.where(sure, 1, 2 / 3), np.where(sure, 0, 1 / 3))
    return ImageDataset(
        [Drawing(_cell_picture, (seed, i, float(probability[i]), cell[i] == "mono")) for i in range(_CELLS)],
        (probability > 0.5).astype(np.int64),
        ("intact", "defective"),
        groups=np.arange(_CELLS) // _MODULE,
        ids=[f"cell{i + 1:04d}" for i in range(_CELLS)],
        extra={"probability": probability, "cell": cell},
    )


def _cell_picture(seed: int, i: int, probability: float, mono: bool) -> np.ndarray:
    module = np.random.default_rng((_SOLAR, seed, 1000 + i // _MODULE))
    rng = np.random.default_rng((_SOLAR, seed, 100000 + i))
    side = 300
    # What the cells of one module share: gain, the fall of light, wires, sharpness of the camera.
    gain, busbars = module.uniform(75, 165), int(module.integers(2, 4))
    light = _slope(module, side, side) * module.uniform(4, 26)
    picture = np.full((side, side, 1), gain * rng.normal(1, 0.06), dtype=np.float32) + light
    texture = 0.03 if mono else module.uniform(0.08, 0.16)
    picture *= 1 + texture * _clouds(rng, side, side, 26 if not mono else 6)
    marks = Image.new("L", (side, side), 255)
    draw = ImageDraw.Draw(marks)
    _defects(draw, rng, probability)
    for bar in range(busbars):
        y = side * (bar + 0.5) / busbars + rng.normal(0, 1.5)
        draw.rectangle((0, y - 3, side, y + 3), fill=95)
    if mono:
        cut = 26
        for x, y in ((0, 0), (side, 0), (0, side), (side, side)):
            toward_x, toward_y = (cut if x == 0 else -cut), (cut if y == 0 else -cut)
            draw.polygon([(x, y), (x + toward_x, y), (x, y + toward_y)], fill=30)
    draw.rectangle((0, 0, side - 1, side - 1), outline=40, width=4)
    soft = marks.reduce(2).resize((side, side), Image.Resampling.BILINEAR)
    picture *= np.asarray(soft, dtype=np.float32)[..., None] / 255
    picture += _noise(rng, side, side) * module.uniform(2, 7)
    return np.repeat(np.clip(picture, 0, 255).astype(np.uint8), 3, axis=2)


def _defects(draw: ImageDraw.ImageDraw, rng: Rng, probability: float) -> None:
    """Faint marks on every cell; cracks and dead areas on cells that experts would call defective."""
    for _ in range(rng.integers(0, 4)):
        x, y = rng.uniform(20, 280, 2)
        r = rng.uniform(3, 12)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=int(rng.uniform(185, 235)))
    if probability == 0:
        return
    dark = int({1 / 3: 205, 2 / 3: 140}.get(probability, 90) + rng.uniform(-25, 25))
    kind = rng.random()
    if kind < 0.35 and probability > 0.5:
        # An area cut off from the wires.
        x, w = rng.uniform(0, 240), rng.uniform(25, 110)
        y = rng.choice([0, 100, 200])
        draw.rectangle((x, y, x + w, y + 100), fill=dark)
    elif kind < 0.5:
        for _ in range(rng.integers(2, 7)):
            x, y = rng.uniform(10, 290), rng.choice([0, 100, 200])
            draw.rectangle((x, y, x + rng.uniform(3, 9), y + 100), fill=dark)
    if kind >= 0.35:
        for _ in range(int(rng.integers(1, 4)) if probability > 0.5 else 1):
            _crack(draw, rng, max(dark - 30, 20))


def _crack(draw: ImageDraw.ImageDraw, rng: Rng, dark: int) -> None:
    point, angle = rng.uniform(40, 260, 2), rng.uniform(0, 2 * np.pi)
    path = [tuple(point)]
    for _ in range(rng.integers(5, 14)):
        angle += rng.normal(0, 0.5)
        point = point + rng.uniform(12, 26) * np.array([np.cos(angle), np.sin(angle)])
        path.append(tuple(point))
    draw.line(path, fill=dark, width=int(rng.integers(3, 6)))


# ---------------------------------------------------------------- a hundred small classes

_SMALL = {"train": 100, "val": 10, "test": 10}  # pictures of each class
_SMALL_SIDE = 32
_CHUNK = 500  # pictures drawn at once: they fit into the processor's cache


def cifar100(fine_of: Sequence[Sequence[int]], classes: Sequence[str], *, seed: int = 0) -> dict[str, ImageDataset]:
    """Patches of 32 × 32 in a hundred classes, five to each of twenty: 10,000, 1,000 and 1,000 drawings.

    The coarse class is in the shape (number of lobes, filled or a ring) and in the background (plain or striped). The
    fine class is in the hue, which starts elsewhere in each coarse class, and in the number of stripes on the shape;
    either alone is ambiguous. These drawings are small and many, so they are drawn at once, as arrays.

    Args:
        fine_of: for each coarse class the numbers of its fine ones.
        classes: names of the fine classes.
        seed: of everything.
    """
    parts = {}
    for number, (split, each) in enumerate(_SMALL.items()):
        targets = np.random.default_rng((_CIFAR100, seed, number)).permutation(np.repeat(np.arange(len(classes)), each))
        place = {fine: (coarse, rank) for coarse, fines in enumerate(fine_of) for rank, fine in enumerate(fines)}
        kinds = np.array([place[fine] for fine in targets.tolist()])
        images = [
            _small_pictures(np.random.default_rng((_CIFAR100, seed, number, start)), *kinds[start : start + _CHUNK].T)
            for start in range(0, len(kinds), _CHUNK)
        ]
        ids = [f"{split}/{i:05d}" for i in range(len(targets))]
        parts[split] = ImageDataset(list(np.concatenate(images)), targets, classes, ids=ids)
    return parts


def _small_pictures(rng: Rng, coarse: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """Pictures `[N, 32, 32, 3]` of coarse classes 0 to 19 `[N]` and fine ones within them, 0 to 4 `[N]`."""
    axis = np.linspace(-1, 1, _SMALL_SIDE, dtype=np.float32)
    y, x = axis[None, :, None], axis[None, None, :]
    lobes, ring, striped = coarse % 5, coarse // 5 % 2 == 1, coarse // 10 == 1
    u, v = _own_axes(rng, x, y, len(coarse))
    radius = np.hypot(u, v)
    outline = 1 + _column(np.where(lobes > 0, 0.3, 0)) * np.cos(_column(lobes + 1) * np.arctan2(v, u))
    shape = _step(outline - radius)
    shape = shape * np.where(_column(ring) > 0, _step(radius - 0.5 * outline), 1)
    # The fine class: a hue, blurred so that neighbours overlap, and a number of stripes.
    hue = coarse * 0.618 + fine / 5 + rng.normal(0, 0.05, len(coarse))
    stripes = np.sin(_column((1 + fine) * 1.9) * v + _column(rng.uniform(0, 6.3, len(coarse))))
    light = _column(rng.uniform(0.55, 0.95, len(coarse))) * (1 + 0.3 * stripes)
    figure = _coloured(hue, rng.uniform(0.35, 0.9, len(coarse)))[:, None, None] * light[..., None]
    ground = _small_ground(rng, x, y, striped)
    pixels = ground + shape[..., None] * (figure - ground)
    rows, columns = rng.integers(0, 768 - _SMALL_SIDE, (2, len(coarse)))
    windows = np.lib.stride_tricks.sliding_window_view(_grain(), (_SMALL_SIDE, _SMALL_SIDE))
    pixels += windows[rows, columns][..., None] * 0.06
    return np.clip(pixels * 255, 0, 255).astype(np.uint8)


def _own_axes(rng: Rng, x: np.ndarray, y: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The axes of `count` shapes, each with a place, a size, an angle and a stretch of its own, two of `[N, H, W]`."""
    left, top = rng.uniform(-0.35, 0.35, (2, count))
    angle, size, stretch = rng.uniform(0, 6.3, count), rng.uniform(0.4, 0.75, count), rng.uniform(0.8, 1.25, count)
    across, down = x - _column(left), y - _column(top)
    u = (across * _column(np.cos(angle)) + down * _column(np.sin(angle))) / _column(size * stretch)
    v = (down * _column(np.cos(angle)) - across * _column(np.sin(angle))) / _column(size / stretch)
    return u, v


def _small_ground(rng: Rng, x: np.ndarray, y: np.ndarray, striped: np.ndarray) -> np.ndarray:
    """Backgrounds `[N, H, W, 3]`: a slope of light, and stripes where asked for."""
    count = len(striped)
    angle = rng.uniform(0, 6.3, count)
    along = x * _column(np.cos(angle)) + y * _column(np.sin(angle))
    wave = np.sin(_column(rng.uniform(7, 14, count)) * along + _column(rng.uniform(0, 6.3, count)))
    light = _column(rng.uniform(0.3, 0.7, count)) + 0.15 * along + 0.12 * wave * _column(striped)
    return _coloured(rng.uniform(0, 1, count), rng.uniform(0, 0.5, count))[:, None, None] * light[..., None]


def _column(values: np.ndarray) -> np.ndarray:
    """One number per picture, shaped to go with maps `[N, H, W]`."""
    return values.astype(np.float32)[:, None, None]


def _step(values: np.ndarray) -> np.ndarray:
    """0 outside, 1 inside, with a soft edge."""
    return np.clip(values * 6 + 0.5, 0, 1)


def _coloured(hue: np.ndarray, saturation: np.ndarray) -> np.ndarray:
    """Colours `[N, 3]` of full brightness, from hues of which 1 is once round."""
    third = (np.array([0, 2, 1]) / 3 + hue[:, None]) % 1 * 6
    ramp = np.clip(np.abs(third - 3) - 1, 0, 1)
    return (1 - saturation[:, None] * (1 - ramp)).astype(np.float32)


# ---------------------------------------------------------------- objects and their views


def multiview(
    objects: int,
    views: int,
    *,
    seed: int,
    image_size: int = 64,
    hard: float = 0.5,
) -> ImageDataset:
    """Objects photographed from several sides: the experiment on what a new sample is.

    Colour, texture and outline say which object it is, loudly. Which class it is shows only in
    two weak habits: class `plastic` tends to a smoother outline and a larger highlight. Views
    of an object differ in rotation, place, size and light only, on the object's own table.

    Args:
        objects: number of objects, at least 2; classes alternate.
        views: pictures of each object, at least 1.
        seed: of everything; two seeds share no object.
        image_size: side in pixels.
        hard: how far the habits of the classes overlap, from 0 (hardly) to 1 (nearly wholly).

    Returns:
        `objects * views` pictures, an object's views side by side; the groups are object numbers.

    Raises:
        ValueError: if a number is out of range.

    Taught in chapter 4.

    >>> pictures = multiview(4, 3, seed=0)
    >>> len(pictures), pictures.groups.tolist()[:4]
    (12, [0, 0, 0, 1])
    """
    if objects < 2 or views < 1 or image_size < 8:
        raise ValueError(f"{objects} objects, {views} views, {image_size} pixels; give at least 2, 1 and 8")
    if not 0 <= hard <= 1:
        raise ValueError(f"hard is {hard}; give a number from 0 to 1")
    rows = [(thing, view) for thing in range(objects) for view in range(views)]
    return ImageDataset(
        [Drawing(_view_picture, (seed, thing, view, image_size, hard)) for thing, view in rows],
        [thing % 2 for thing, _ in rows],
        ("other", "plastic"),
        groups=[thing for thing, _ in rows],
        ids=[f"object{thing:05d}/view{view:03d}" for thing, view in rows],
    )


def _view_picture(seed: int, thing: int, view: int, size: int, hard: float) -> np.ndarray:
    own = np.random.default_rng((_MULTIVIEW, seed, thing))
    rng = np.random.default_rng((_MULTIVIEW, seed, 10**6 + thing, view))
    gap = 1.4 - 1.3 * hard
    habit = own.normal(gap if thing % 2 else -gap, 1.0, size=2)
    colour, second = own.uniform(40, 220, 3), own.uniform(40, 220, 3)
    scale, waves = 2 * size, own.uniform(3, 9)
    layer = Image.new("RGBA", (scale, scale))
    draw = ImageDraw.Draw(layer, "RGBA")
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radius = np.ones(72)
    for harmonic in (2, 3):
        radius += own.normal(0, 0.12) * np.cos(harmonic * angle + own.uniform(0, 6.3))
    # First habit: how jagged the outline is.
    radius += 0.13 / (1 + np.exp(1.2 * habit[0])) * np.sign(np.sin(own.integers(9, 14) * angle))
    radius = np.clip(radius, 0.3, 1.45) * scale * own.uniform(0.2, 0.28)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None] + scale / 2
    draw.polygon([tuple(point) for point in points.tolist()], fill=_ink(colour, 1, 1))
    mask = layer.getchannel("A")
    for offset in np.linspace(0, scale, int(2 * waves)):
        draw.line((offset, 0, offset, scale), fill=_ink(second, 1, own.uniform(0.3, 0.8)), width=int(scale / waves / 4))
    layer.putalpha(mask)
    # Second habit: how large the highlight is.
    shine = scale * 0.13 / (1 + np.exp(-1.2 * habit[1]))
    draw = ImageDraw.Draw(layer, "RGBA")
    x, y = scale / 2 + own.uniform(-0.08, 0.08, 2) * scale
    draw.ellipse((x - shine, y - shine, x + shine, y + shine), fill=(255, 255, 255, 230))
    layer = layer.rotate(rng.uniform(-50, 50), resample=Image.Resampling.BILINEAR)
    side = int(size * rng.uniform(0.95, 1.15))
    layer = layer.resize((side, side), Image.Resampling.BOX)
    table = own.uniform(130, 200) + own.normal(0, 10, 3) + rng.normal(0, 6) + _slope(rng, 8, 8) * 18
    picture = _backdrop(table, size, size)
    left, top = ((size - side) / 2 + rng.uniform(-0.06, 0.06, 2) * size).astype(int)
    _over(picture, layer, int(left), int(top))
    return _developed(picture, rng, rng.normal(1, 0.05), 5)
