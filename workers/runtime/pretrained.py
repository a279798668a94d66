"""Loading for all families of transformers: a checkpoint folder, a device and a dtype."""

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal

import structlog
import torch
import transformers
from transformers import AutoConfig, PreTrainedTokenizerBase

from workers.model.checkpoint import (
    CONFIG,
    IMAGE_PROCESSOR_FILES,
    TOKENIZER_TEXTS,
    VOCABULARIES,
    absent_files,
    present_files,
)
from workers.model.device_errors import is_out_of_memory
from workers.model.family import FamilyParameters, LoadContext, LoadError, PartDamaged, brief
from workers.runtime import four_bit
from workers.runtime.device import (
    DtypeName,
    check_materialised,
    float_type,
    move,
    pick_device,
    pick_dtype,
    set_threads,
)
from workers.runtime.inputs import ImageInputs
from workers.runtime.quantization import quantise
from workers.runtime.tokenizer_check import check_tokenizer

log = structlog.get_logger(__name__)
UNUSED_WEIGHTS = ("pooler", "position_ids")
"""Parts of names of weights that published checkpoints lack, and that no answer depends on."""


_PACKAGE = re.compile(r"No module named '([\w.]+)'|pip install ([\w-]+)")
"""How Python and transformers name a package that is missing."""


class PretrainedParameters(FamilyParameters):
    """Parameters that all families of transformers have."""

    dtype: DtypeName | Literal["auto"] = "auto"


class Pretrained:
    """A checkpoint folder, with the device and the dtype that its model gets."""

    def __init__(
        self, context: LoadContext, wanted: PretrainedParameters, on_cpu: DtypeName = "float32"
    ) -> None:
        """Choose device and dtype, and configure torch and transformers.

        Args:
            context: what to load.
            wanted: the family's parameters, with the configured dtype.
            on_cpu: the dtype that was fastest for this family on the CPU when measured.

        Raises:
            LoadError: the row names no source, or the device or dtype is not available.
        """
        if context.folder is None:
            raise LoadError(
                f"{context.spec.name}: add `source`, a repository on the hub, to its row."
            )
        self.folder: Path = context.folder
        self.device = pick_device(context.device)
        self.dtype = pick_dtype(wanted.dtype, self.device, on_cpu)
        set_threads(context)
        quiet: Any = transformers.utils.logging
        quiet.set_verbosity_error()
        quiet.disable_progress_bar()
        self._images: ImageInputs

    def model(
        self,
        loader: Any,  # noqa: ANN401 - transformers' classes are not typed
        precise: Collection[str] = (),
        *,
        in_four_bits: bool = False,
    ) -> Any:  # noqa: ANN401
        """Load the model with a class of transformers, ready for inference on the device.

        Args:
            loader: the class.
            precise: weights, or modules, that stay float32 on a GPU.
            in_four_bits: whether its linear layers get weights of four bits.

        Raises:
            LoadError: a package is missing, or the weights do not fit the configuration, or cannot
                have four bits here.
        """
        if in_four_bits:
            how = four_bit.arguments(self.device, float_type(self.dtype))
        else:
            # In its own dtype a file is mapped into memory instead of copied.
            how = {"dtype": self.dtype if self._computes_from_file else "auto"}
        model, report = self._load(
            loader,
            self._unfit,
            **how,
            output_loading_info=True,
            # Otherwise transformers raises an error that names none of them.
            ignore_mismatched_sizes=True,
        )
        if mismatched := sorted(report["mismatched_keys"]):
            name, in_file, in_model = mismatched[0]
            raise self._unfit(f"{name} is {tuple(in_file)} instead of {tuple(in_model)}")
        # transformers initialises missing weights randomly, and only logs a warning:
        # https://github.com/huggingface/transformers/issues/32067
        names = report["missing_keys"]
        missing = sorted(n for n in names if not any(part in n for part in UNUSED_WEIGHTS))
        if missing:
            raise self._unfit(f"they lack {', '.join(missing[:3])}")
        check_materialised(model)
        if in_four_bits:
            return model.eval()  # on the device, in its dtype
        if self.dtype == "int8":
            quantise(model)
            for weight in model.parameters():
                # A copy, so that the file can be unmapped.
                weight.data = weight.data.float().clone()
        elif not self._computes_from_file:
            move(model, self.device, float_type(self.dtype), precise)
        return model.eval()

    @property
    def _computes_from_file(self) -> bool:
        """Whether weights stay as transformers loads them, on the CPU."""
        return self.device.type == "cpu" and self.dtype != "int8"

    def config(self) -> Any:  # noqa: ANN401
        """Load the configuration.

        Raises:
            LoadError: transformers cannot read it.
        """
        return self._load(AutoConfig, self._unfit)

    def processor(self, loader: Any) -> Any:  # noqa: ANN401
        """Load a tokenizer, an image processor, or both as one, with a class of transformers.

        Raises:
            LoadError: a package is missing.
            PartDamaged: a file is damaged or missing, so that no text can be encoded and decoded.
        """
        loaded = self._load(loader, self.damaged)
        tokenizer = getattr(loaded, "tokenizer", loaded)
        if isinstance(tokenizer, PreTrainedTokenizerBase):
            check_tokenizer(
                tokenizer, self.config().get_text_config(decoder=True).vocab_size, self.folder
            )
        return loaded

    def _load(self, loader: Any, failure: Callable[[str], LoadError], **options: Any) -> Any:  # noqa: ANN401
        try:
            return loader.from_pretrained(self.folder, local_files_only=True, **options)
        except Exception as err:
            if is_out_of_memory(err):
                raise
            if isinstance(err, ImportError) or "could be imported" in str(err):
                raise LoadError(_missing_package(err)) from err
            raise failure(brief(err)) from err

    def _unfit(self, cause: str) -> LoadError:
        return LoadError(
            f"The weights and {CONFIG} in {self.folder} do not go together: {cause}. Delete the "
            "folder to have both fetched again, or put files there that belong together."
        )

    def damaged(self, cause: str) -> PartDamaged:
        """Return an error that says what the tokenizer or the image processor cannot do."""
        files = (*IMAGE_PROCESSOR_FILES, *TOKENIZER_TEXTS, *VOCABULARIES)
        there = ", ".join(present_files(self.folder, files)) or "none"
        absent = ", ".join(absent_files(self.folder)) or "none"
        return PartDamaged(
            f"The tokenizer or the image processor in {self.folder} cannot be loaded ({cause}). "
            f"Its files are damaged, or some are missing. There are {there}; not there are "
            f"{absent}.",
            files,
        )

    def images(self, processor: Any) -> ImageInputs:  # noqa: ANN401
        """Have images prepared as an image processor of transformers would.

        Returns:
            How: its preparation and its function of one image are the family's own.
        """
        self._images = ImageInputs(processor)
        return self._images

    def batch(self, images: list[torch.Tensor]) -> torch.Tensor:
        """Stack prepared images to (N, 3, height, width), on the device, in its dtype."""
        return self._images.batch(images, self.device, float_type(self.dtype))


def _missing_package(err: Exception) -> str:
    text = str(err)
    log.warning("package missing", error=text)
    if "timm" in text:
        return (
            "This model runs through timm, which needs torchvision: install `timm` and the "
            "`torchvision` that belongs to your torch."
        )
    if "torchvision" in text.lower():
        return (
            "The image processor of this model needs torchvision: install the `torchvision` that "
            "belongs to your torch."
        )
    if "sentencepiece" in text.lower():
        return (
            "The tokenizer of this model needs the package `sentencepiece`: install it, or put a "
            "tokenizer.json into its folder."
        )
    found = _PACKAGE.search(text)
    package = f"`{found[1] or found[2]}`" if found else f"what it names ({brief(err)})"
    return f"This model needs a package that is not installed: install {package}."
