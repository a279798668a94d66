"""Errors of onnxruntime when it cannot load a file, as sentences that say what to do."""

import re
from typing import NamedTuple

from workers.model.device_errors import is_out_of_memory
from workers.model.family import LoadError, PartDamaged, brief


class _Fault(NamedTuple):
    """What onnxruntime says when it cannot load a file, and what that means."""

    said: str
    """A pattern; what its groups match takes the place of ``{}``."""
    meaning: str
    """The end of a sentence that begins with the file's name."""
    is_damage: bool
    """Whether a fresh copy of the files may help."""


_FAULTS = (
    _Fault(
        r'External data path does not exist: "([^"]*)"',
        "has its weights in another file, which is missing: put {} there, and name it in `files` "
        "of the row",
        is_damage=True,
    ),
    _Fault(
        r"External initializer",
        "has its weights in another file, which is cut off or of another version: fetch both again",
        is_damage=True,
    ),
    _Fault(
        r"No Op registered for (\S+)|(\S+?)(?:\(-?\d+\))? is not a registered function/op"
        r"|implementation for (\S+?)\(",
        "needs the operator {}, which onnxruntime does not have here: export the model with "
        "operators of the ONNX standard",
        is_damage=False,
    ),
    _Fault(
        r"official released onnx opset|model IR version",
        "is of a version of ONNX that is newer than onnxruntime: export the model for an older "
        "opset, or update onnxruntime",
        is_damage=False,
    ),
    _Fault(
        r"INVALID_PROTOBUF|No graph was found",
        "is damaged, cut off, or no ONNX file: fetch or copy it again",
        is_damage=True,
    ),
)


def load_error(name: str, err: Exception) -> Exception:
    """Return an error of onnxruntime, which could not load a file, as a sentence."""
    for fault in _FAULTS:
        if found := re.search(fault.said, str(err)):
            what = next(filter(None, found.groups()), "")
            sentence = f"{name} {fault.meaning.format(what)}."
            return PartDamaged(sentence, [name]) if fault.is_damage else LoadError(sentence)
    error = RuntimeError(str(err))  # a type of which it can be seen whether memory ran out
    if is_out_of_memory(error):
        return error
    return LoadError(f"onnxruntime cannot load {name}: {brief(err)}.")
