"""Runs models in the ONNX format on onnxruntime, on the CPU or on a CUDA GPU.

onnxruntime starts a thread when it is imported, so the fork server must not import this module.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from workers.model import memory
from workers.model.device_errors import is_out_of_memory
from workers.model.family import LoadError
from workers.runtime.onnx_errors import load_error

_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_CUDA_OPTIONS = {
    "use_tf32": "0",  # embeddings of GPUs and CPUs are compared, and TF32 keeps three digits only
    "cudnn_conv_algo_search": "HEURISTIC",  # trying all of them takes seconds per size of batch
    "arena_extend_strategy": "kSameAsRequested",  # else each piece is twice as large as the last
}
_NO_CUDA = "the CPU is used: the package onnxruntime has no CUDA, onnxruntime-gpu has"
_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype("float32"),
    "tensor(float16)": np.dtype("float16"),
    "tensor(double)": np.dtype("float64"),
    "tensor(uint8)": np.dtype("uint8"),
    "tensor(int8)": np.dtype("int8"),
}


class Tensor(NamedTuple):
    """An input or an output of a model."""

    name: str
    shape: tuple[int | None, ...]
    """``None`` where any length is possible."""
    dtype: np.dtype[Any] | None
    """``None`` if it is no number."""


class OnnxSession:
    """A model with one input and, of its outputs, the one that is wanted."""

    accelerator = ""
    """Name of the GPU that the model runs on; empty: none."""
    acceleration = ""
    """Why it does not run on a GPU although it should, for people; empty: there is nothing to say.
    """

    batch_size: int | None
    """How many images the model takes at once; ``None``: any number."""

    def __init__(
        self,
        model: Path | bytes,
        device: str,
        threads: int,
        output: str = "",
        weights: Mapping[str, np.ndarray[Any, Any]] | None = None,
    ) -> None:
        """Load a model.

        Args:
            model: its file, or the contents of it.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:<index>``. Without a build of onnxruntime
                for CUDA it is the CPU whatever is asked for; :attr:`acceleration` says so then.
            threads: on a CPU; 0: as many as there are cores.
            output: name of the output that is wanted; empty: the first.
            weights: by name those that the file only refers to.

        Raises:
            LoadError: the message says what to do.
        """
        name = model.name if isinstance(model, Path) else "The model"
        if isinstance(model, Path) and not model.is_file():
            raise LoadError(f"{model} is missing: copy it there, or correct the row's `files`.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # Threads that wait for work must not keep the other processes of this machine from theirs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # errors are raised, and nothing else concerns operators
        # The session computes from this very memory, so it must last as long.
        self._weights = {
            k: onnxruntime.OrtValue.ortvalue_from_numpy(v) for k, v in (weights or {}).items()
        }
        options.add_external_initializers(list(self._weights), list(self._weights.values()))
        providers = self._choose_providers(device)
        content = str(model) if isinstance(model, Path) else model
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers)
        except Exception as err:  # onnxruntime has a dozen types without a common base
            raise load_error(name, err) from err
        if len(providers) > 1:
            self._check_gpu()
        self.input = self._only_input(name)
        self.batch_size = self.input.shape[0]
        self.output = self._chosen_output(name, output)

    def probe(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the output for one image, and see whether the model takes several.

        Of many files the input has a batch of any size, but not what is behind it.

        Args:
            shape: of one image.

        Raises:
            RuntimeError: the model fails.
        """
        zeros = np.zeros((2, *shape), self.input.dtype)
        if self.batch_size is None:
            try:
                return tuple(self.run(zeros).shape[1:])
            except RuntimeError as err:
                if is_out_of_memory(err):
                    raise
                self.batch_size = 1
        return tuple(self.run(zeros[:1]).shape[1:])

    def run(self, batch: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the output for a batch: float32, as many rows as the batch has.

        A model that takes a fixed number of images gets as many at a time; if they are too few, the
        last one fills the places.

        Args:
            batch: shaped like :attr:`input`, with any number of images; of any dtype.

        Raises:
            RuntimeError: the model failed.
        """
        size = self.batch_size or len(batch)
        parts = [
            self._run(batch[start : start + size], size) for start in range(0, len(batch), size)
        ]
        return np.concatenate(parts).astype(np.float32, copy=False)

    def _run(self, images: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
        missing = size - len(images)
        full = np.concatenate([images, images[-1:].repeat(missing, 0)]) if missing else images
        feed = {self.input.name: np.ascontiguousarray(full, self.input.dtype)}
        try:
            (found,) = self._session.run([self.output.name], feed)
        except Exception as err:
            # Who looks whether memory ran out, or the GPU is lost, expects this type.
            raise RuntimeError(str(err)) from err
        if len(found) != size:
            msg = f"{self.output.name} has {len(found)} rows for {size} images"
            raise RuntimeError(msg)
        return np.asarray(found)[: len(images)]

    def _choose_providers(self, device: str) -> list[Any]:
        """Return what runs the model, the best first."""
        if device == "cpu":
            return [_CPU]
        if _CUDA not in onnxruntime.get_available_providers():
            self.acceleration = _NO_CUDA if device.startswith("cuda") else ""
            return [_CPU]
        # With torch come the libraries of CUDA, the name of the GPU, and how much memory it has.
        import torch

        from workers.runtime.device import pick_device

        gpu = pick_device(device)
        if gpu.type != "cuda":
            return [_CPU]
        torch.cuda.init()  # type: ignore[no-untyped-call]
        memory.watch_gpu()
        options = {**_CUDA_OPTIONS, "device_id": str(torch.cuda.current_device())}
        return [(_CUDA, options), _CPU]

    def _check_gpu(self) -> None:
        """See whether the GPU is in use: if CUDA cannot start, onnxruntime goes on without.

        Raises:
            LoadError: it is not.
        """
        if self._session.get_providers()[0] != _CUDA:
            raise LoadError(
                "CUDA does not start in onnxruntime, whose reason is in the log: install the "
                "libraries of CUDA and cuDNN that it names, or set VISION_DEVICE=cpu."
            )
        self.accelerator = memory.accelerator()

    def _only_input(self, name: str) -> Tensor:
        inputs = list(_tensors(self._session.get_inputs()))
        if len(inputs) != 1:
            names = ", ".join(tensor.name for tensor in inputs) or "none"
            raise LoadError(
                f"{name} has these inputs: {names}. Only models with one input, the image, can be "
                "served."
            )
        return inputs[0]

    def _chosen_output(self, name: str, wanted: str) -> Tensor:
        outputs = list(_tensors(self._session.get_outputs()))
        for tensor in outputs:
            if wanted in ("", tensor.name):
                return tensor
        names = ", ".join(tensor.name for tensor in outputs)
        raise LoadError(f"{name} has no output {wanted!r}. Choose `output` from: {names}.")


def _tensors(arguments: Sequence[Any]) -> Iterator[Tensor]:
    for argument in arguments:
        shape = tuple(n if isinstance(n, int) and n > 0 else None for n in argument.shape)
        yield Tensor(argument.name, shape, _DTYPES.get(argument.type))
