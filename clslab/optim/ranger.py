"""Ranger: three papers about Adam in one optimizer.

Taught in chapter 10.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Ranger(Optimizer):
    """RAdam, Lookahead and gradient centralisation.

    - Rectified Adam: the average of squared gradients is worth little while few gradients are in it. RAdam says by how
      much (ρ_t below), and until then takes the plain step of momentum.
    - Lookahead: every `k` steps a second, slow set of weights moves by the share `alpha` of the way to the fast ones,
      which go on from there. The slow weights start where the fast ones do.
    - Gradient centralisation: of each gradient of a matrix or of filters, the mean over everything but the first
      dimension (the outputs) is taken off.

    Weight decay is decoupled from the gradient, as in AdamW. Gradients are minimised: from the first step on, weights
    move against them.

    Args:
        params: parameters, or groups of them.
        lr: learning rate, at least 0.
        betas: decay of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the root of the average square, at least 0.
        weight_decay: at least 0.
        k: steps between two moves of the slow weights, at least 1.
        alpha: share of the way that these move, in [0, 1]; 1 is no Lookahead.
        centralize: whether gradients are centralised.

    Raises:
        ValueError: if a number is out of range, or a gradient is sparse.

    Source: Liu et al. (arXiv:1908.03265), Zhang et al. (arXiv:1907.08610), Yong et al. (arXiv:2004.01461).
    Taught in chapter 10.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = Ranger([weight], lr=0.1)
    >>> (weight**2).sum().backward()
    >>> _ = optimizer.step()
    >>> round(weight.item(), 4)
    0.8
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        weight_decay: float = 0.0,
        k: int = 6,
        alpha: float = 0.5,
        centralize: bool = True,
    ) -> None:
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} = {value}: it has to be at least 0 and finite")
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas = {betas}: give two numbers, each at least 0 and below 1")
        if k < 1 or not 0 <= alpha <= 1:
            raise ValueError(f"k = {k} and alpha = {alpha}: k has to be at least 1 step and alpha between 0 and 1")
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults | {"k": k, "alpha": alpha, "centralize": centralize})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step down.

        Args:
            closure: computes the loss and its gradients first; not needed if they are there.

        Returns:
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)
        return loss

    # [ranger]
    def _move(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        if gradient.is_sparse:
            raise ValueError(
                f"a gradient of shape {tuple(weight.shape)} is sparse, which Ranger cannot take; build the layer with "
                "sparse=False (nn.Embedding's default)"
            )
        state = self.state[weight]
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(weight), "square": torch.zeros_like(weight)}
            state["slow"] = weight.clone()
        state["step"] += 1
        if group["centralize"] and gradient.ndim > 1:
            gradient = gradient - gradient.mean(dim=tuple(range(1, gradient.ndim)), keepdim=True)
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.sub_(_rectified(gradient, state, group), alpha=group["lr"])
        if state["step"] % group["k"] == 0:
            state["slow"].lerp_(weight, group["alpha"])
            weight.copy_(state["slow"])

    # [/ranger]


# [radam]
def _rectified(gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    """RAdam's direction, to be multiplied by the learning rate; `state` takes the gradient up."""
    beta_mean, beta_square = group["betas"]
    step = state["step"]
    state["mean"].lerp_(gradient, 1 - beta_mean)
    state["square"].mul_(beta_square).addcmul_(gradient, gradient, value=1 - beta_square)
    direction = state["mean"] / (1 - beta_mean**step)

    # ρ_t: how many gradients the average of squares is worth; ρ_∞ is the most it can be worth.
    unbiased = 1 - beta_square**step
    worth_most = 2 / (1 - beta_square) - 1
    worth = worth_most - 2 * step * beta_square**step / unbiased
    if worth <= 5:  # the variance of its inverse root is infinite up to 4; the authors' code and torch wait for 5
        return direction
    rectification = math.sqrt(
        (worth - 4) * (worth - 2) * worth_most / ((worth_most - 4) * (worth_most - 2) * worth),
    )
    root = state["square"].sqrt().add_(group["eps"])
    return direction.div_(root).mul_(rectification * math.sqrt(unbiased))


# [/radam]
