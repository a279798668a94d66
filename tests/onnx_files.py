"""Small models in the ONNX format, made by hand, whose right answers are known."""

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 10
Shape = Sequence[int | str]


def model(
    nodes: Sequence[NodeProto],
    image: Shape,
    output: Shape,
    *,
    dtype: int = TensorProto.FLOAT,
    opset: int = OPSET,
    **constants: np.ndarray,
) -> ModelProto:
    """Return a model from the input ``image`` to the output ``answer``.

    Args:
        nodes: its operators.
        image: shape of the input; a string is a dimension of any length.
        output: shape of the output, likewise.
        dtype: of the input.
        opset: version of the operators.
        constants: weights by their names.
    """
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("image", dtype, image)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def flat(image: Shape, dtype: int = TensorProto.FLOAT) -> ModelProto:
    """Return a model that gives its input back, each image as one vector of float32."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["answer"]),
    ]
    return model(nodes, image, [image[0], "values"], dtype=dtype)


def colours(image: Shape = ("batch", 3, 8, 8), scale: float = 20.0) -> ModelProto:
    """Return a classifier whose logits are the means of the channels, times ``scale``.

    For colours from 0 to 1 in an RGB model, its classes are red, green and blue.
    """
    axes = [2, 3] if image[1] == 3 else [1, 2]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["means"], axes=axes, keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["answer"]),
    ]
    return model(nodes, image, [image[0], 3], scale=np.array(scale, np.float32))
