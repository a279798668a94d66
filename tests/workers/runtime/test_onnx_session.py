"""ONNX files on onnxruntime: batches of any size, and what is said of files that it cannot load."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from tests import onnx_files
from workers.model.device_errors import is_out_of_memory
from workers.model.family import LoadError, PartDamaged
from workers.runtime.onnx_session import OnnxSession

PIXELS = (3, 2, 2)


def save(model: ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def session(model: ModelProto, **options: Any) -> OnnxSession:
    return OnnxSession(model.SerializeToString(), "cpu", 1, **options)


def images(number: int) -> np.ndarray:
    values = np.arange(number * 12, dtype=np.float32)
    return values.reshape(number, *PIXELS)


@pytest.mark.parametrize("batch", ["any", 1, 3])
@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_a_batch_of_any_size_is_answered_in_order_whatever_size_the_model_takes(
    batch: str | int, number: int
) -> None:
    found = session(onnx_files.flat((batch, *PIXELS))).run(images(number))

    assert found.dtype == np.float32
    assert np.array_equal(found, images(number).reshape(number, 12))


def reshaping(inner: tuple[int, int]) -> OnnxSession:
    nodes = [helper.make_node("Reshape", ["image", "inner"], ["answer"])]
    shape = np.array(inner, np.int64)
    return session(onnx_files.model(nodes, ("n", *PIXELS), ("n", "m"), inner=shape))


@pytest.mark.parametrize(("inner", "size"), [((1, 12), 1), ((-1, 12), None)])
def test_a_batch_that_is_only_declared_to_be_of_any_size_is_found_out(
    inner: tuple[int, int], size: int | None
) -> None:
    """The graph may have the batch of its export inside, so that larger ones fail."""
    made = reshaping(inner)

    assert made.probe(PIXELS) == (12,)
    assert made.batch_size == size
    assert np.array_equal(made.run(images(5)), images(5).reshape(5, 12))


def test_a_model_that_mixes_its_images_up_is_refused() -> None:
    with pytest.raises(RuntimeError, match="2 rows for 1 image"):
        reshaping((2, 6)).probe(PIXELS)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.DOUBLE])
def test_images_get_the_dtype_of_the_input(dtype: int) -> None:
    found = session(onnx_files.flat(("n", *PIXELS), dtype)).run(images(2))

    assert np.array_equal(found, images(2).reshape(2, 12))


def test_one_of_several_outputs_may_be_chosen() -> None:
    model = onnx_files.flat(("n", *PIXELS))
    model.graph.node.append(helper.make_node("Neg", ["answer"], ["negative"]))
    extra = helper.make_tensor_value_info("negative", TensorProto.FLOAT, ["n", 12])
    model.graph.output.append(extra)

    assert np.array_equal(
        session(model, output="negative").run(images(1)), -images(1).reshape(1, 12)
    )
    assert np.array_equal(session(model).run(images(1)), images(1).reshape(1, 12))
    with pytest.raises(LoadError, match=r"no output .x.\. Choose `output` from: answer, negative"):
        session(model, output="x")


def test_a_model_with_a_second_input_is_refused() -> None:
    nodes = [helper.make_node("Add", ["image", "mask"], ["answer"])]
    model = onnx_files.model(nodes, ("n", 4), ("n", 4))
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n", 4]))

    with pytest.raises(LoadError, match=r"these inputs: image, mask\. Only models with one input"):
        session(model)


def with_operator(domain: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        nodes = [helper.make_node("Frobnicate", ["image"], ["answer"], domain=domain)]
        model = onnx_files.model(nodes, ("n", 4), ("n", 4))
        if domain:
            model.opset_import.append(helper.make_opsetid(domain, 1))
        return save(model, folder)

    return make


def of_the_future(folder: Path) -> Path:
    nodes = [helper.make_node("Neg", ["image"], ["answer"])]
    return save(onnx_files.model(nodes, ("n", 4), ("n", 4), opset=999), folder)


def cut_off(folder: Path) -> Path:
    path = save(onnx_files.colours(), folder)
    path.write_bytes(path.read_bytes()[:-20])
    return path


def external(folder: Path) -> Path:
    """Return a model whose weights are in ``model.onnx.data``."""
    path, weights = folder / "model.onnx", np.ones((4, 2), np.float32)
    nodes = [helper.make_node("MatMul", ["image", "weights"], ["answer"])]
    model = onnx_files.model(nodes, ("n", 4), ("n", 2), weights=weights)
    location = "model.onnx.data"
    onnx.save_model(model, path, save_as_external_data=True, location=location, size_threshold=0)
    return path


def without_its_data(folder: Path) -> Path:
    path = external(folder)
    (folder / "model.onnx.data").unlink()
    return path


def with_half_its_data(folder: Path) -> Path:
    path = external(folder)
    (folder / "model.onnx.data").write_bytes(b"1234")
    return path


FAULTS = [
    pytest.param(lambda folder: folder / "model.onnx", "is missing: copy it there", id="missing"),
    pytest.param(cut_off, "model.onnx is damaged, cut off, or no ONNX file", id="cut-off"),
    pytest.param(with_operator(""), "needs the operator Frobnicate", id="operator"),
    pytest.param(with_operator("com.acme"), "operator com.acme:Frobnicate,", id="domain"),
    pytest.param(of_the_future, "newer than onnxruntime: export the model for", id="opset"),
    pytest.param(without_its_data, r"missing: put \S*model.onnx.data there, and name", id="data"),
    pytest.param(with_half_its_data, "another file, which is cut off", id="half-data"),
]


@pytest.mark.parametrize(("make", "said"), FAULTS)
def test_a_file_that_cannot_be_loaded_is_refused_with_what_to_do(
    tmp_path: Path, make: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(LoadError, match=said) as error:
        OnnxSession(make(tmp_path), "cpu", 1)
    assert isinstance(error.value, PartDamaged) == ("cut off" in said or "data" in said)
    assert "\n" not in str(error.value)


def test_weights_in_a_second_file_are_found_beside_the_model(tmp_path: Path) -> None:
    found = OnnxSession(external(tmp_path), "cpu", 1).run(np.ones((3, 4)))

    assert found.tolist() == [[4.0, 4.0]] * 3


def test_without_a_build_for_cuda_the_cpu_is_used_and_the_reason_is_given() -> None:
    model = onnx_files.flat(("n", *PIXELS)).SerializeToString()

    assert "onnxruntime-gpu" in OnnxSession(model, "cuda", 1).acceleration
    assert OnnxSession(model, "auto", 1).acceleration == ""
    assert OnnxSession(model, "auto", 1).accelerator == ""


def test_an_error_of_a_run_shows_whether_memory_ran_out() -> None:
    """onnxruntime's own errors have no type that says anything."""
    nodes = [helper.make_node("Expand", ["image", "huge"], ["answer"])]
    huge = np.array([2**40, 4], np.int64)
    made = session(onnx_files.model(nodes, ("n", 4), ("m", 4), huge=huge))

    with pytest.raises(RuntimeError) as error:
        made.run(np.ones((1, 4)))
    assert is_out_of_memory(error.value)
