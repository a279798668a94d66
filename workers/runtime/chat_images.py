"""Replaces the image processors of models that chat: resize elsewhere, normalise on the device.

To resize a photo and compute with its pixels takes such a processor 15 to 25 ms, during which the
model waits. Images of the types that are known here are resized by preparing processes (see
``workers/preparing/sheets.py``), and 8-bit pixels are normalised and cut into patches on the
device. All other types get decoded images, which their own processors resize.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import structlog
import torch
from PIL import Image
from transformers.feature_extraction_utils import BatchFeature

from workers.model.device_errors import is_device_fault, is_out_of_memory
from workers.model.family import brief
from workers.preparing import sheets
from workers.preparing.layouts import LAYOUTS, Layout, Size
from workers.preparing.preparation import Preparation, Prepared
from workers.runtime import chat_pixels
from workers.runtime.chat_inputs import ChatInputs, Turn, single_question
from workers.runtime.chat_pixels import Frames, Normaliser
from workers.runtime.inputs import affine, given_sizes

log = structlog.get_logger(__name__)
Settings = Mapping[str, Any]
"""What an image processor is configured to do."""
Arguments = dict[str, Any]
"""Of a layout."""
_COMPARED: Sequence[Size] = ((640, 480), (90, 160))
"""Sizes of the pictures with which this and the type's own processor are compared. Some types
divide the first one."""
MOST_STEPS = 4.0
"""Of 255, by which colours of those pictures may differ: with torchvision, filters do."""
MOST_PX = 4096
"""Longest edge to which Idefics 3 resizes an image, whatever is configured."""


class Sheet(torch.Tensor):
    """All frames of an image below each other, (height, width, 3), uint8, as preparing made them.

    It is a tensor because the processors of transformers look at what they take for an image.
    """

    frames_on_it: Layout
    whole: Size

    def frames(self) -> Frames:
        """Return the frames, each (height, width, 3)."""
        plain, top, found = self.as_subclass(torch.Tensor), 0, []
        for width, height in self.frames_on_it.frames:
            found.append(plain[top : top + height, :width])
            top += height
        has_overview = self.frames_on_it.overview is not None
        return Frames(self.frames_on_it, self.whole, found[0] if has_overview else None,
                      found[has_overview:])  # fmt: skip


class Kind(NamedTuple):
    """A kind of image processors."""

    layout: str
    """Name of the layout of its frames."""
    arguments: Callable[[Settings], Arguments | None]
    """From settings to the layout's arguments; ``None``: they ask for more than is known here."""
    inputs: Callable[[Sequence[Sequence[Frames]], Settings, Normaliser], dict[str, Any]]
    """From the frames of images, by conversation, to the inputs of the model."""


class ChatImages:
    """Stands in for an image processor, and takes images that are prepared."""

    def __init__(
        self,
        own: Any,  # noqa: ANN401 - not typed
        kind: Kind,
        settings: Settings,
        arguments: Arguments,
        normalise: Normaliser,
    ) -> None:
        """Replace an image processor of transformers: see :func:`replace`."""
        self._own, self._kind, self._settings, self._arguments = own, kind, settings, arguments
        self.preparation: Preparation = sheets.sheet(kind.layout, arguments, settings["resample"])
        self._normalise = normalise

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Return an attribute of the processor, which the type's text processor may read."""
        return getattr(self._own, name)

    def prepare(self, image: Prepared) -> Sheet:
        """Return an image as :meth:`__call__` takes it."""
        flat = torch.frombuffer(bytearray(image.content), dtype=torch.uint8)
        sheet = flat.view(image.height, image.width, 3).as_subclass(Sheet)
        sheet.frames_on_it = LAYOUTS[self._kind.layout](image.whole, **self._arguments)
        sheet.whole = image.whole
        return sheet

    def fetch_images(self, images: Any) -> Any:  # noqa: ANN401
        """Return images as they are."""
        return images

    def __call__(self, images: Sequence[Any], **_: Any) -> BatchFeature:  # noqa: ANN401
        """Return the inputs of the model.

        Args:
            images: those of a batch, by conversation; or of a single conversation.
        """
        nested = images if isinstance(images[0], list | tuple) else [images]
        frames = [[sheet.frames() for sheet in sheets] for sheets in nested]
        return BatchFeature(self._kind.inputs(frames, self._settings, self._normalise))

    def check(self, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        """Compare inputs with those of the processor of transformers.

        Raises:
            ValueError: they differ.
        """
        if found.keys() != expected.keys():
            msg = f"it has {sorted(found)}, not {sorted(expected)}"
            raise ValueError(msg)
        for name, wanted in expected.items():
            values = found[name]
            if not isinstance(wanted, torch.Tensor):
                is_equal = values == wanted
            elif wanted.shape != values.shape:
                is_equal = False
            else:
                most = MOST_STEPS * self._normalise.step if wanted.is_floating_point() else 0
                is_equal = bool((values.cpu().to(wanted.dtype) - wanted).abs().max() <= most)
            if not is_equal:
                msg = f"`{name}` is different"
                raise ValueError(msg)


def replace(inputs: ChatInputs, device: torch.device, dtype: torch.dtype) -> ChatImages | None:
    """Have conversations with prepared images, if that makes no difference to the model.

    Both ways are compared with a picture that any filter resizes to about the same.

    Args:
        inputs: their processor is changed.
        device: of the model.
        dtype: of its inputs.

    Returns:
        What prepares images; ``None``: the processor takes decoded ones, as before.
    """
    processor = inputs.processor
    own = processor.image_processor
    pictures = list(map(_picture, _COMPARED))
    try:
        ours = _replacing(processor, device, dtype)
        if not ours:
            return None
        expected = [inputs.encode([_turn(picture)]) for picture in pictures]
        processor.image_processor = ours
        for picture, wanted in zip(pictures, expected, strict=True):
            image = ours.prepare(ours.preparation.run(_file(picture), math.inf))
            ours.check(inputs.encode([_turn(image)]), wanted)
    except Exception as err:  # whatever is different in this checkpoint
        if is_out_of_memory(err) or is_device_fault(err):
            raise
        log.warning("images are resized in the model process", cause=brief(err))
        processor.image_processor = own
        return None
    return ours


def _replacing(processor: Any, device: torch.device, dtype: torch.dtype) -> ChatImages | None:  # noqa: ANN401
    """Return what could replace a processor's image processor; ``None``: nothing can."""
    own = processor.image_processor
    kind = KINDS.get(type(own).__name__.removesuffix("Pil"))
    if not kind:
        return None
    named = {name: getattr(own, name) for name in dir(type(own)) if not name.startswith("_")}
    settings = named | dict(getattr(processor, "images_kwargs", None) or {})
    if settings["resample"] is None or not (settings["do_resize"] and settings["do_rescale"]):
        return None
    arguments = kind.arguments(settings)
    if arguments is None:
        return None
    return ChatImages(own, kind, settings, arguments, Normaliser(*affine(own), device, dtype))


def _turn(image: object) -> Turn:
    return Turn(single_question("", [image]))


def _picture(size: Size) -> Image.Image:
    """Return colours that change from side to side, and from top to bottom."""
    down = Image.linear_gradient("L")
    bands = (down, down.transpose(Image.Transpose.ROTATE_90), down.rotate(180))
    return Image.merge("RGB", bands).resize(size)


def _file(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "BMP")
    return file.getvalue()


def _squash(settings: Settings) -> Arguments | None:
    size = given_sizes(settings["size"])
    if settings.get("do_pan_and_scan") or size.keys() != {"height", "width"}:
        return None
    return {"size": (size["width"], size["height"])}


def _middle(settings: Settings) -> Arguments | None:
    size, crop = given_sizes(settings["size"]), given_sizes(settings["crop_size"])
    if settings["do_pad"] or not settings["do_center_crop"] or size.keys() != {"shortest_edge"}:
        return None
    return {"shortest": size["shortest_edge"], "window": (crop["width"], crop["height"])}


def _within_pixels(settings: Settings) -> Arguments | None:
    size = given_sizes(settings["size"])
    return {
        "multiple": settings["patch_size"] * settings["merge_size"],
        "least": size["shortest_edge"],
        "most": size["longest_edge"],
    }


def _within_patches(settings: Settings) -> Arguments | None:
    pooled = settings["pooling_kernel_size"]
    most = settings["max_soft_tokens"] * pooled**2
    return {"patch": settings["patch_size"], "pooled": pooled, "most": most}


def _tiles_of_longest_edge(settings: Settings) -> Arguments | None:
    size, tile = given_sizes(settings["size"]), given_sizes(settings["max_image_size"])
    longest = size.get("longest_edge")
    if not longest or longest > MOST_PX or not settings["do_pad"]:
        return None
    split = bool(settings["do_image_splitting"])
    return {"longest": longest, "tile": tile["longest_edge"], "split": split}


def _tiles_of_nearest_ratio(settings: Settings) -> Arguments | None:
    size = given_sizes(settings["size"])
    tile = (size["width"], size["height"])
    most = settings["max_patches"] if settings["crop_to_patches"] else 1
    return {"tile": tile, "fewest": settings["min_patches"] if most > 1 else 1, "most": most}


def _tiles_of_best_grid(settings: Settings) -> Arguments | None:
    size, crop = given_sizes(settings["size"]), given_sizes(settings["crop_size"])
    side = size.get("shortest_edge") or size.get("height")
    grids = [(width, height) for height, width in settings["image_grid_pinpoints"]]
    is_square = side == crop.get("height") == crop.get("width") == size.get("width", side)
    is_even = side and all(length % side == 0 for grid in grids for length in grid)
    if not (is_square and is_even and settings["do_pad"]):
        return None
    return {"tile": (side, side), "grids": grids}


def _slices(settings: Settings) -> Arguments | None:
    merged = 2 if settings["downsample_mode"] == "4x" else 4
    return {
        "side": settings["scale_resolution"],
        "multiple": settings["patch_size"] * merged,
        "most": settings["max_slice_nums"] if settings["slice_mode"] else 1,
    }


_TILED = Kind("tiles_of_longest_edge", _tiles_of_longest_edge, chat_pixels.tiles_by_conversation)
KINDS: Mapping[str, Kind] = {
    "Gemma3ImageProcessor": Kind("fixed", _squash, chat_pixels.without_crops),
    "Gemma4ImageProcessor": Kind("within_patches", _within_patches, chat_pixels.padded_patches),
    "GotOcr2ImageProcessor": Kind(
        "tiles_of_nearest_ratio", _tiles_of_nearest_ratio, chat_pixels.counted_tiles
    ),
    "Idefics3ImageProcessor": _TILED,
    "LlavaImageProcessor": Kind("middle", _middle, chat_pixels.single_frames),
    "LlavaNextImageProcessor": Kind(
        "tiles_of_best_grid", _tiles_of_best_grid, chat_pixels.padded_tiles
    ),
    "MiniCPMV4_6ImageProcessor": Kind("slices", _slices, chat_pixels.slices),
    "Qwen2VLImageProcessor": Kind("within_pixels", _within_pixels, chat_pixels.merged_patches),
    "SiglipImageProcessor": Kind("fixed", _squash, chat_pixels.single_frames),
    "SmolVLMImageProcessor": _TILED,
}
"""By the class of the image processor, for images on a GPU or without torchvision. Not here is that
of LLaVA-OneVision, whose frames of an image depend on how many images a conversation has."""
