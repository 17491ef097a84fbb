"""Networks of other libraries, made comparable with those of the zoo."""

import torch
from torch import nn

from clslab import models
from clslab.seeds import seed_everything


def parameters(name: str, num_classes: int) -> int:
    """How many parameters the zoo's network of this name has; no weight is drawn for it."""
    with torch.device("meta"):
        model = models.create(name, num_classes=num_classes)
    return sum(weights.numel() for weights in model.parameters())


def padded(theirs: nn.Module) -> nn.Module:
    """Their network with every convolution and pool of 3 by 3 padded, as ours are."""
    for part in theirs.modules():
        if isinstance(part, nn.Conv2d):
            part.padding = tuple(side // 2 for side in part.kernel_size)
        elif isinstance(part, nn.MaxPool2d):
            part.padding, part.ceil_mode = 1, False
    return theirs


def assert_same_logits(ours: nn.Module, theirs: nn.Module, *, side: int = 16, order: list[str] | None = None) -> None:
    """Theirs and ours say the same when ours has the weights of theirs, in double precision.

    Args:
        ours: may lie on the "meta" device, so that its own weights need not be drawn.
        theirs: gets statistics and scales that make batch norm do something.
        side: of the pictures.
        order: keys of theirs in the order of ours, where it is another one.
    """
    seed_everything(0)
    pictures = torch.randn(3, 3, side, side, dtype=torch.float64)
    theirs.double().eval()
    for part in theirs.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(part, nn.BatchNorm2d):
            part.eps, part.momentum = nn.BatchNorm2d(1).eps, 1.0
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.3)
            part.train()
    with torch.no_grad():
        theirs(pictures)  # with a momentum of 1 these become the statistics
    weights = theirs.state_dict()
    values = [weights[key] for key in (order or weights)]
    assert len(values) == len(weights)
    ours.load_state_dict(dict(zip(ours.state_dict(), values, strict=True)), assign=True)
    with torch.no_grad():
        said, expected = ours.eval()(pictures), theirs.eval()(pictures)
    assert expected.std(dim=0).min() > 1e-4  # the pictures are told apart, so that equality says something
    torch.testing.assert_close(said, expected, rtol=1e-8, atol=1e-8)
