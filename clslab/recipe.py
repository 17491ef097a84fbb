"""The settings of a run: everything but the code, the data and the machine.

A `Recipe` says what is learnt from which pictures, with which model and in which way. It is frozen, it travels to and
from TOML, and it is stored inside every recorded run. Names (of a data set, a model, an optimizer) are looked up by the
part of the library that knows them; types and ranges are checked here. This module loads no torch.

Taught in chapters 1 and 2.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import hashlib
import json
import math
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w


@dataclass(frozen=True)
class Recipe:
    """The settings of one run; the defaults train a linear head on borrowed features of `debris`.

    Attributes:
        data: name for `clslab.data.load`.
        variant: variant of the data set, `None` for the whole set as it is.
        subset: training pictures per class, drawn with the run's seed; `None` takes them all.
        folds: for sounds: parts of a cross-validation over all recordings; 0 for the data set's own split.
        folds_by: for sounds with `folds`: what lies in one fold as a whole, "recording" or "recordist".
        rare: for sounds with `folds`: each class in turn is left out of the training and recognised afterwards from a
            few recordings; `shots` says from how many (`clslab.rare`). Empty for none.
        spectrogram: for sounds: the picture that is made of each clip, one of `clslab.audio.TRANSFORMS`.
        image_size: side in pixels of the square that the model sees.
        model: name of a backbone (`clslab.models.transfer.BACKBONES`) or of a model (`clslab.models.list_models()`).
        model_options: further arguments of the model (`dropout`; for a probe `layer` and `classifier`).
        pretrained: start from borrowed weights.
        train_part: "head", "last-block", "all", "probe", "lp-ft" or "scratch".
        init: initialisation of weights that are not borrowed, "default" for the model's own.
        epochs: passes over the training pictures; 0 trains nothing.
        choose_epoch: validate after every epoch and keep the weights of the best one; false keeps the last weights,
            saves that time, and leaves the validation pictures unseen until the run is scored.
        batch_size: pictures per step.
        optimizer: name of the optimizer.
        optimizer_options: its further arguments (`momentum`, `betas`).
        lr: learning rate, positive (the highest one where there is a schedule).
        weight_decay: at least 0.
        decay_norm_and_bias: whether biases and normalisation layers decay too.
        schedule: "constant", "cosine" or "step".
        schedule_options: its further arguments (for "step": `step_size` in epochs and `gamma`).
        warmup: epochs of warm-up, fractions allowed.
        loss: name of the loss, one of `clslab.losses.NAMES`.
        loss_options: its further arguments.
        label_smoothing: in [0, 1).
        sampling: "uniform" (each training picture once an epoch) or "balanced" (as many draws, all classes equally
            often).
        augment: name of a preset of `clslab.data.transforms.photo`, or for small pictures in memory of
            `clslab.data.augment.PRESETS`.
        hierarchy: for a set with a tree of labels, how its levels are learnt (`clslab.levels.OPTIONS`); empty for the
            plain network with one output.
        mix: one of `clslab.data.augment.MIXINGS` for small pictures in memory, `None` for none.
        sam_rho: radius of SAM, 0 for none.
        sam_adaptive: scale that radius with the weights (ASAM).
        ema: decay of an average of the weights, in [0, 1); 0 for none.
        tta: one of `clslab.tta.VIEWS`, to be averaged over when a run is scored; `None` for the single plain view.
        clip_norm: largest norm of the gradient, `None` for no limit.
        precision: "auto" (the machine's choice), "fp32", "bf16" or "fp16".
        seed: of everything random in the run.

    Raises:
        ValueError: if a value has the wrong type or is out of range; the message names the field and the value.

    >>> Recipe(lr=0.01).replace(epochs=3).epochs
    3
    """

    data: str = "debris"
    variant: str | None = None
    subset: int | None = None
    folds: int = 0
    folds_by: str = "recording"
    rare: dict[str, Any] = dataclasses.field(default_factory=dict)
    spectrogram: str = "mel"
    image_size: int = 160
    model: str = "efficientnet_lite0"
    model_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    pretrained: bool = True
    train_part: str = "head"
    init: str = "default"
    epochs: int = 20
    choose_epoch: bool = True
    batch_size: int = 32
    optimizer: str = "adamw"
    optimizer_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    lr: float = 0.001
    weight_decay: float = 0.01
    decay_norm_and_bias: bool = False
    schedule: str = "cosine"
    schedule_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    warmup: float = 0.0
    loss: str = "cross-entropy"
    loss_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    label_smoothing: float = 0.0
    sampling: str = "uniform"
    augment: str = "resize"
    hierarchy: dict[str, Any] = dataclasses.field(default_factory=dict)
    mix: str | None = None
    sam_rho: float = 0.0
    sam_adaptive: bool = False
    ema: float = 0.0
    tta: str | None = None
    clip_norm: float | None = None
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = _typed(field.name, getattr(self, field.name), hints[field.name])
            object.__setattr__(self, field.name, value)
            if field.name in _RANGES and value is not None:
                holds, words = _RANGES[field.name]
                if not holds(value):
                    raise ValueError(f"{field.name} = {value!r} is out of range; it has to be {words}")

    def __hash__(self) -> int:
        return hash((self.key(), self.seed))

    def replace(self, **changes: Any) -> Recipe:
        """The same recipe with some fields changed; an unknown field is an error that names the nearest one."""
        _refuse_unknown(changes)
        return dataclasses.replace(self, **changes)

    def key(self) -> str:
        """Twelve hexadecimal digits that stand for every field but the seed, the same on every machine.

        Two runs are repeats of each other when their keys are equal. Fields that were added after the first recorded
        runs count only where they are changed from their default, so that old records keep their key.

        >>> Recipe(seed=1).key() == Recipe(seed=2).key(), Recipe(lr=0.1).key() == Recipe().key()
        (True, False)
        """
        settings = self.to_dict()
        del settings["seed"]
        for name in _ADDED_LATER:
            if settings[name] == getattr(_DEFAULT, name):
                del settings[name]
        text = json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Every field with its value, as plain data that JSON can hold."""
        return {field.name: copy.deepcopy(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Recipe:
        """A recipe from field names and values; fields that are left out keep their default.

        Raises:
            ValueError: for an unknown field (the nearest valid one is named), a wrong type or a value out of range.
        """
        _refuse_unknown(settings)
        return cls(**settings)

    def to_toml(self, path: str | Path | None = None) -> str:
        """The recipe as TOML text, written to `path` too if one is given. A field that is `None` is left out.

        >>> Recipe.from_toml(Recipe(lr=0.5).to_toml()) == Recipe(lr=0.5)
        True
        """
        text = tomli_w.dumps({name: value for name, value in self.to_dict().items() if value is not None})
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    @classmethod
    def from_toml(cls, source: str | Path) -> Recipe:
        """A recipe from a TOML file or from TOML text.

        Args:
            source: a path; a string with an equals sign or a line break in it is taken as the text itself.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the text is no TOML, or for the reasons of `from_dict`.
        """
        return cls.from_dict(read_toml(source))


# Names of fields that joined after runs were recorded; see `Recipe.key`.
_ADDED_LATER: tuple[str, ...] = ("sampling", "choose_epoch", "hierarchy", "folds", "folds_by", "spectrogram", "rare")

_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", dict: "a table"}

_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "subset": (lambda value: value >= 1, "at least 1 (pictures per class), or left out for all"),
    "folds": (lambda value: value == 0 or value >= 2, "0 for none, or at least 2"),
    "image_size": (lambda value: value >= 8, "at least 8 (pixels)"),
    "epochs": (lambda value: value >= 0, "at least 0"),
    "batch_size": (lambda value: value >= 1, "at least 1"),
    "lr": (lambda value: 0 < value < math.inf, "positive and finite"),
    "weight_decay": (lambda value: 0 <= value < math.inf, "at least 0 and finite"),
    "warmup": (lambda value: 0 <= value < math.inf, "at least 0 (epochs)"),
    "sampling": (lambda value: value in ("uniform", "balanced"), "uniform or balanced"),
    "label_smoothing": (lambda value: 0 <= value < 1, "at least 0 and below 1"),
    "sam_rho": (lambda value: 0 <= value < math.inf, "at least 0 and finite"),
    "ema": (lambda value: 0 <= value < 1, "at least 0 and below 1"),
    "clip_norm": (lambda value: 0 < value < math.inf, "positive and finite, or left out for no limit"),
    "precision": (lambda value: value in ("auto", "fp32", "bf16", "fp16"), "auto, fp32, bf16 or fp16"),
    "seed": (lambda value: 0 <= value < 2**32, "at least 0 and below 2**32"),
}


def read_toml(source: str | Path) -> dict[str, Any]:
    """The tables of a TOML file, or of TOML text (a string with an equals sign or a line break in it).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the text is no TOML; the message says where.
    """
    if isinstance(source, str) and ("=" in source or "\n" in source):
        text, name = source, "the text"
    else:
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"no TOML file at {path}; give the path of a file, or TOML text itself")
        text, name = path.read_text(encoding="utf-8"), str(path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{name} is no valid TOML: {error}") from error


def _refuse_unknown(settings: Mapping[str, Any]) -> None:
    known = [field.name for field in dataclasses.fields(Recipe)]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise ValueError(f"a recipe has no field {name!r}; the nearest one is {near!r} (all: {', '.join(known)})")


def _typed(name: str, value: Any, hint: Any) -> Any:
    """`value` if it fits the field's type; whole numbers become floats where the field is one."""
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in allowed:
        return None
    kind = next(one for one in allowed if one is not type(None))
    kind = typing.get_origin(kind) or kind
    if kind is dict and isinstance(value, Mapping):
        return {str(key): _plain(f"{name}.{key}", item) for key, item in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        words = _KINDS[kind] + (", or left out" if type(None) in allowed else "")
        raise ValueError(f"{name} = {value!r} is a {type(value).__name__}; it has to be {words}")
    return value


def _plain(name: str, value: Any) -> Any:
    """A copy of an option that TOML and JSON give back unchanged (tuples become lists)."""
    if isinstance(value, Mapping):
        return {str(key): _plain(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} = {value!r} is not finite")
    if not isinstance(value, bool | int | float | str):
        raise ValueError(
            f"{name} = {value!r} is a {type(value).__name__}; options hold numbers, text, lists and tables"
        )
    return value


_DEFAULT = Recipe()
