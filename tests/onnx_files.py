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


def colours(
    image: Shape = ("batch", 3, 8, 8),
    *,
    scale: float = 20.0,
    dtype: int = TensorProto.FLOAT,
    classes: Sequence[int] = (0, 1, 2),
    softmax: bool = False,
) -> ModelProto:
    """Return a classifier whose logits are the means of the three channels, times ``scale``.

    Args:
        image: shape of the input.
        scale: 20 suits values from 0 to 1.
        dtype: of the input.
        classes: those of the first, second and third channel; others have no weights.
        softmax: whether it gives probabilities.
    """
    weights = np.zeros((3, max(classes) + 1), np.float32)
    weights[range(3), classes] = scale
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["means"], axes=space(image), keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
        helper.make_node("Softmax" if softmax else "Identity", ["logits"], ["answer"]),
    ]
    return model(nodes, image, [image[0], weights.shape[1]], dtype=dtype, weights=weights)


def quantised(scale: float = 20.0) -> ModelProto:
    """Return :func:`colours` with activations and weights in 8 bits, as quantisers write it."""
    weights = np.eye(3, dtype=np.int8) * 127
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("QuantizeLinear", ["means", "step", "zero"], ["small"]),
        helper.make_node("DequantizeLinear", ["small", "step", "zero"], ["inputs"]),
        helper.make_node("DequantizeLinear", ["weights", "weight_step", "none"], ["matrix"]),
        helper.make_node("MatMul", ["inputs", "matrix"], ["answer"]),
    ]
    return model(
        nodes,
        ("batch", 3, 8, 8),
        ("batch", 3),
        weights=weights,
        step=np.array(1 / 255, np.float32),
        zero=np.array(0, np.uint8),
        weight_step=np.array(scale / 127, np.float32),
        none=np.array(0, np.int8),
    )


def faces(batch: int | str = 1, values: int = 128) -> ModelProto:
    """Return what embeds faces of 112 x 112: means of squares of 14 pixels, as many as wanted."""
    nodes = [
        helper.make_node(
            "AveragePool", ["image"], ["means"], kernel_shape=[14, 14], strides=[14, 14]
        ),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("Slice", ["flat", "first", "last", "axis"], ["answer"]),
    ]
    return model(
        nodes,
        (batch, 3, 112, 112),
        (batch, values),
        first=np.array([0]),
        last=np.array([values]),
        axis=np.array([1]),
    )


def space(image: Shape) -> list[int]:
    """Return the dimensions that are height and width."""
    return [2, 3] if image[1] == 3 else [1, 2]
