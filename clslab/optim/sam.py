"""SAM and ASAM: steps that look for minima whose whole neighbourhood has a low loss.

Taught in chapter 10.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer


# [frozen-statistics]
@contextlib.contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Passes inside this block leave no trace in a model's buffers.

    Batch norm counts the statistics of whatever passes through it in train mode. SAM's second pass runs at weights
    that are given up again a moment later: what was counted there is none of the network's business. Every buffer is
    copied and put back, so this holds for any layer that counts, and for values that are not finite.

    Args:
        model: only its modules in train mode are looked at, the others write nothing.

    Taught in chapter 10.

    >>> norm = nn.BatchNorm1d(2)
    >>> with frozen_statistics(norm):
    ...     _ = norm(torch.randn(8, 2))
    >>> norm.num_batches_tracked.item(), norm.running_mean.tolist()
    (0, [0.0, 0.0])
    """
    buffers = [buffer for module in model.modules() if module.training for buffer in module.buffers(recurse=False)]
    before = [buffer.detach().clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, saved in zip(buffers, before, strict=True):
                buffer.copy_(saved)


# [/frozen-statistics]


class SAM(Optimizer):
    """Sharpness-aware minimisation around any optimizer: two passes a step.

    The first pass finds the gradient g at the weights w. The weights climb to w + e, with e = ρ g / ‖g‖ the worst
    place within the radius ρ, as far as the gradient can tell. The second pass finds the gradient there. The weights
    go back to w, and the base optimizer takes its step from w with that second gradient.

    With `adaptive` (ASAM) the radius grows with each weight: e = ρ T² g / ‖T g‖ with T = |w| + η for every single
    weight. Rescaling a layer then no longer changes what counts as sharp.

    A closure is the shortest way. It clears the gradients, computes the loss, backpropagates and returns the loss,
    and it runs twice:

        def closure():
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            return loss

        loss = optimizer.step(closure)

    The second time it draws the same random numbers (dropout leaves out the same units, so that both gradients belong
    to one function), and if `model` was given, batch norm does not count the second pass. Without a closure:

        loss.backward()
        with optimizer.uphill(), frozen_statistics(model):
            criterion(model(inputs), targets).backward()
        optimizer.step()

    `uphill` is `first_step` before and `restore` after the block, also after an error; what stands between it and
    `step` (clipping, a gradient scaler's `unscale_`) acts on the second gradient. The same in single calls:
    `first_step()`, the second pass, `second_step()`.

    - The weights are put back from a copy, so they are bit for bit what they were.
    - If a gradient of either pass is not finite, the base optimizer does not step: weights and its state stay. To
      decide that, a CUDA device is waited for once a step, as `torch.amp.GradScaler` does too.
    - e does not change with the scale of the loss, so a gradient scaler needs to unscale the second gradient only.
    - `param_groups` and `state` are those of `base_optimizer`: schedulers change the learning rate of both, and
      `state_dict` is the base optimizer's, with the radius in its groups.
    - In several processes that average their gradients after every backward pass, all climb to the same place. (The
      paper lets each device climb by the gradient of its own part of the batch.)

    Args:
        params: parameters, or groups of them; a group may hold its own `rho`, `adaptive` and `eta`.
        base_optimizer: a class such as `torch.optim.SGD`, or a function, that is called with `params` and
            `base_arguments`.
        rho: radius ρ, at least 0; the paper takes 0.05 for CIFAR-10 and 0.1 for CIFAR-100. ASAM wants about ten
            times as much.
        adaptive: ASAM.
        eta: η, at least 0: a weight that is 0 moves a little too. ASAM only.
        model: the modules whose statistics `step(closure)` freezes in its second pass.
        base_arguments: of the base optimizer (`lr`, `momentum`).

    Raises:
        ValueError: if a number is out of range, or `base_optimizer` is not a class or function.

    Source: Foret et al. (arXiv:2010.01412), Kwon et al. (arXiv:2102.11600). Taught in chapter 10.

    >>> weight = nn.Parameter(torch.tensor([2.0]))
    >>> optimizer = SAM([weight], torch.optim.SGD, lr=0.5, rho=1.0)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (weight**2 / 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item(), weight.item()  # the gradient is taken at 3: 2 - 0.5 * 3
    (2.0, 0.5)
    """

    def __init__(
        self,
        params: Iterable[Any],
        base_optimizer: Callable[..., Optimizer],
        *,
        rho: float = 0.05,
        adaptive: bool = False,
        eta: float = 0.01,
        model: nn.Module | None = None,
        **base_arguments: Any,
    ) -> None:
        if isinstance(base_optimizer, Optimizer) or not callable(base_optimizer):
            raise ValueError(
                f"base_optimizer is {type(base_optimizer).__name__} object; give the class and its arguments, as in "
                "SAM(params, torch.optim.SGD, lr=0.1)"
            )
        self.base_optimizer = base_optimizer(params, **base_arguments)
        self.model = model
        self._own = {"rho": rho, "adaptive": adaptive, "eta": eta}
        self._before: list[tuple[Tensor, Tensor]] | None = None
        self._first_norm: Tensor | None = None
        super().__init__(self.base_optimizer.param_groups, dict(self._own))
        self.defaults = self.base_optimizer.defaults | self._own
        self._share()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the base optimizer, with this one's radius unless the group has its own."""
        for name, default in self._own.items():
            param_group.setdefault(name, default)
        for name in ("rho", "eta"):
            if not 0 <= param_group[name] < math.inf:
                raise ValueError(f"{name} = {param_group[name]}: it has to be at least 0 and finite")
        if not any(param_group is known for known in self.base_optimizer.param_groups):
            self.base_optimizer.add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Both passes and the base optimizer's step; without a closure, what is left to do after the second pass.

        Args:
            closure: clears the gradients, computes the loss, backpropagates and returns the loss.

        Returns:
            The loss of the first pass, at the weights before the step; `None` without a closure.

        Raises:
            ValueError: without a closure, if there was no first step.
        """
        if closure is None:
            self._base_step()
            return None
        with torch.enable_grad(), repeatable_draws(self._device()):
            loss = closure()
        unmoved = contextlib.nullcontext() if self.model is None else frozen_statistics(self.model)
        with self.uphill(), unmoved, torch.enable_grad():
            closure()
        self._base_step()
        return loss

    @contextlib.contextmanager
    def uphill(self) -> Iterator[None]:
        """The weights climb for the length of a block, in which the second pass runs."""
        self.first_step()
        try:
            yield
        finally:
            self.restore()

    # [first-step]
    @torch.no_grad()
    def first_step(self) -> None:
        """Climb from w to w + e by the gradients of the first pass, and clear them for those of the second.

        Raises:
            ValueError: if the weights have climbed already, or a gradient is sparse.
        """
        if self._before is not None:
            raise ValueError("the weights have climbed already; call second_step before the next first_step")
        groups = [_with_gradient(group) for group in self.param_groups]
        slopes = []  # per group T g, or g itself
        for group, (weights, gradients) in zip(self.param_groups, groups, strict=True):
            scaled = torch._foreach_mul(_sizes(weights, group), gradients) if group["adaptive"] else gradients
            slopes.append(list(scaled))
        norm = get_total_norm([slope for of_group in slopes for slope in of_group])
        self._before = [(weight, weight.clone()) for weights, _ in groups for weight in weights]
        self._first_norm = norm
        for group, (weights, _), slope in zip(self.param_groups, groups, slopes, strict=True):
            if weights:
                torch._foreach_add_(weights, _climb(weights, slope, norm, group))
        self.zero_grad(set_to_none=True)

    # [/first-step]

    @torch.no_grad()
    def restore(self) -> None:
        """Put the weights back from the copy; the gradients of the second pass stay. Does nothing a second time."""
        if self._before is None:
            return
        for weight, saved in self._before:
            weight.copy_(saved)
        gradient = next((weight.grad for weight, _ in self._before if weight.grad is not None), None)
        if gradient is not None and self._first_norm is not None:
            # If the first gradient was not finite, neither is the second from now on: the step will be skipped. And a
            # gradient scaler, which sees the second one only, learns that its scale is too high.
            gradient.add_(torch.where(self._first_norm.isfinite(), 0.0, math.nan))
        self._before = None

    def second_step(self) -> None:
        """Go back to w, and let the base optimizer step with the gradients of the second pass."""
        self.step()

    def state_dict(self) -> dict[str, Any]:
        """The base optimizer's state; its groups hold the radius.

        Raises:
            ValueError: between the two passes, when the weights are not those of the training.
        """
        if self._before is not None:
            raise ValueError("the weights have climbed; save the state after second_step, or call restore first")
        return self.base_optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, or what the base optimizer alone gave."""
        own = [{name: group[name] for name in self._own} for group in self.param_groups]
        self.base_optimizer.load_state_dict(state_dict)
        self._share()
        for group, defaults in zip(self.param_groups, own, strict=True):
            for name, value in defaults.items():
                group.setdefault(name, value)

    def _base_step(self) -> None:
        self.restore()
        if self._first_norm is None:
            raise ValueError("SAM needs two passes: give step a closure, or call first_step and run the second pass")
        self._first_norm = None
        gradients = [gradient for group in self.param_groups for gradient in _with_gradient(group)[1]]
        if bool(get_total_norm(gradients).isfinite()):  # not if either pass was not: see restore
            self.base_optimizer.step()

    def _share(self) -> None:
        """Hold the base optimizer's own groups and state, which it replaces when it loads a state."""
        self.param_groups, self.state = self.base_optimizer.param_groups, self.base_optimizer.state

    def _device(self) -> torch.device:
        return self.param_groups[0]["params"][0].device

    def __getstate__(self) -> dict[str, Any]:
        kept = ("base_optimizer", "model", "defaults", "_own", "_before", "_first_norm")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._share()


@contextlib.contextmanager
def repeatable_draws(device: torch.device | str) -> Iterator[None]:
    """After this block torch's random numbers are back where they were, so that a second pass draws the same.

    Args:
        device: where the passes compute; a CUDA device has random numbers of its own.

    Taught in chapter 10.

    >>> with repeatable_draws("cpu"):
    ...     first = torch.rand(2)
    >>> torch.equal(first, torch.rand(2))
    True
    """
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _with_gradient(group: dict[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
    """The weights of a group that have a gradient, and their gradients."""
    weights = [weight for weight in group["params"] if weight.grad is not None]
    for weight in weights:
        if weight.grad.is_sparse:
            raise ValueError(
                f"a gradient of shape {tuple(weight.shape)} is sparse, which SAM cannot climb by; build the layer with "
                "sparse=False (nn.Embedding's default), or take the base optimizer alone"
            )
    return weights, [weight.grad for weight in weights]


def _sizes(weights: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
    """T = |w| + η, one number for each weight."""
    return list(torch._foreach_add(torch._foreach_abs(weights), group["eta"]))


def _climb(weights: list[Tensor], slopes: list[Tensor], norm: Tensor, group: dict[str, Any]) -> list[Tensor]:
    """The way e from the weights of a group to the worst place: nowhere if the gradient is zero or not finite."""
    if group["adaptive"]:
        slopes = list(torch._foreach_mul(_sizes(weights, group), slopes))
    way = list(torch._foreach_mul(slopes, group["rho"] / norm))
    for each in way:
        # A norm of 0 divides to infinity, one that is not finite spreads. Asking for it would make a CUDA device wait.
        each.nan_to_num_(0.0, 0.0, 0.0)
    return way
