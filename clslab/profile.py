"""Which of three sizes everything runs at: subset sizes, epochs and model width follow, nothing else.

`smoke` is for tests, `cpu` is the book's default without a GPU, `gpu` is the full setting.
"""

import importlib.util
import os
from typing import Literal, TypeVar, cast, get_args

Profile = Literal["smoke", "cpu", "gpu"]
T = TypeVar("T")


def current() -> Profile:
    """The profile in force: `$CLSLAB_PROFILE`, else `gpu` where torch finds a GPU, else `cpu`.

    torch is loaded only if the variable does not settle the question.

    Raises:
        ValueError: if `$CLSLAB_PROFILE` is none of the three names.

    Taught in chapter 0.
    """
    asked = os.environ.get("CLSLAB_PROFILE", "").strip()
    if asked:
        if asked not in get_args(Profile):
            raise ValueError(
                f"CLSLAB_PROFILE is {asked!r}; set it to one of {', '.join(get_args(Profile))}, "
                "or unset it to let the machine decide"
            )
        return cast(Profile, asked)
    if importlib.util.find_spec("torch") is None:
        return "cpu"
    import torch

    return "gpu" if torch.cuda.is_available() else "cpu"


def pick(*, smoke: T, cpu: T, gpu: T) -> T:
    """The one of three values that belongs to the current profile.

    Taught in chapter 0.

    >>> import os
    >>> before = os.environ.get("CLSLAB_PROFILE", "")
    >>> os.environ["CLSLAB_PROFILE"] = "smoke"
    >>> pick(smoke=1, cpu=10, gpu=200)
    1
    >>> os.environ["CLSLAB_PROFILE"] = before
    """
    return {"smoke": smoke, "cpu": cpu, "gpu": gpu}[current()]
