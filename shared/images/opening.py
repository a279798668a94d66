"""Opens images: which formats are read, and what must be checked before Pillow decodes them."""

import contextlib
import io
import warnings
from collections.abc import Iterator

import pillow_heif
from PIL import (
    IcoImagePlugin,
    Image,
    ImageFile,
    PsdImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
)

from shared.errors import TooLarge, UndecodableImage, VisionError
from shared.images import png
from shared.images.parts import check_parts
from shared.units import MEGA

FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "AVIF", "HEIF", "PSD", "ICO",
    "DDS", "SGI", "QOI", "PPM", "PCX", "TGA",
)  # fmt: skip
"""Raster formats that Pillow decodes itself, those without a clear signature last.

AVIF comes before HEIF, whose decoder accepts AVIF's containers but not their contents. Not here:
EPS, WMF and others for which Pillow starts or needs external programs; ICNS and FITS, whose
contents may be far larger than their headers say; formats that no photo library has.
"""
LARGEST_MEGAPIXELS = 500
"""More are never opened, whatever the settings; the largest cameras compose some 400 megapixels."""
ICON_MEGAPIXELS = 4
"""Pillow decodes icons when it should only read their headers; they have 0.07 as a rule."""
_ICON = b"\0\0\1\0"
_PSD_VERSION_INFO = 1057
"""Image resource that says whether the file has a picture of all layers together, in its byte 4.

See https://www.adobe.com/devnet-apps/photoshop/fileformatashtml/#50577409_38034.
"""

_IN_NATIVE_ORDER = {
    "I;16BS": "I;16NS", "I;32BS": "I;32NS", "I;32B": "I;32N", "F;32BF": "F;32NF",
}  # fmt: skip
"""Pillow's names of samples in the processor's byte order, by those of big-endian ones."""

pillow_heif.register_heif_opener(thumbnails=False)
Image.MAX_IMAGE_PIXELS = LARGEST_MEGAPIXELS * MEGA // 2  # Pillow raises from twice as many on
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
# Pillow warns of damaged metadata, which is none of our operators' business.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# Unsigned 32-bit greys in big-endian TIFFs, which Pillow reads in little-endian ones only.
TiffImagePlugin.OPEN_INFO[(TiffImagePlugin.MM, 1, (1,), 1, (32,), ())] = ("I", "I;32B")


def open_image(data: bytes) -> ImageFile.ImageFile:
    """Read an image's header; nothing is decoded before :meth:`ImageFile.load`.

    Raises:
        UndecodableImage: no image in a supported format.
        TooLarge: more pixels or parts than are ever decoded.
    """
    if not data:
        raise UndecodableImage("The image is empty.")
    check_parts(data)
    with decoder_errors("The image's header is damaged"):
        _check_icon(data)
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if isinstance(image, PsdImagePlugin.PsdImageFile):
            _check_psd(image)
        elif isinstance(image, TiffImagePlugin.TiffImageFile):
            _check_tiff(image)
            _mend_tiff(image)
        return image


@contextlib.contextmanager
def decoder_errors(what: str) -> Iterator[None]:
    """Raise our errors for whatever Pillow raises, which it does not document."""
    try:
        yield
    except VisionError:
        raise
    except Image.DecompressionBombError as err:
        raise TooLarge(f"The image has more than {LARGEST_MEGAPIXELS} megapixels.") from err
    except UnidentifiedImageError as err:
        raise UndecodableImage("The data is not an image in a format that is known here.") from err
    except Exception as err:
        raise UndecodableImage(f"{what}: {_reason(err)}.") from err


def _check_icon(data: bytes) -> None:
    """Refuse icons whose contents are large: opening an icon decodes it."""
    if not data.startswith(_ICON):
        return
    entry = IcoImagePlugin.IcoFile(io.BytesIO(data)).entry[0]
    content = io.BytesIO(memoryview(data)[entry.offset :])
    width, height = Image.open(content, formats=("PNG", "DIB")).size
    if width * height > ICON_MEGAPIXELS * MEGA:
        raise TooLarge(
            f"The icon has {width} x {height} pixels; the limit is {ICON_MEGAPIXELS} megapixels."
        )
    if content.getbuffer()[: len(png.SIGNATURE)] == png.SIGNATURE:
        png.check_rows(content.getbuffer())


def _check_psd(image: PsdImagePlugin.PsdImageFile) -> None:
    for resource, _, content in image.resources:
        if resource == _PSD_VERSION_INFO and content[4:5] == b"\0":
            raise UndecodableImage(
                "The PSD file has layers only. Save it with the option to maximise compatibility, "
                "which adds the picture of all layers together."
            )


def _check_tiff(image: TiffImagePlugin.TiffImageFile) -> None:
    """Refuse uncompressed TIFFs without some strips or tiles, which Pillow would leave black."""
    tiles = [tile.extents or (0, 0, 0, 0) for tile in image.tile if tile.codec_name == "raw"]
    is_planar = image.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2
    planes = image.tag_v2.get(TiffImagePlugin.SAMPLESPERPIXEL, 1) if is_planar else 1
    covered = sum((right - left) * (lower - upper) for left, upper, right, lower in tiles)
    if tiles and covered < image.width * image.height * planes:
        raise UndecodableImage("The TIFF is truncated: some of its strips or tiles are missing.")


def _mend_tiff(image: TiffImagePlugin.TiffImageFile) -> None:
    """Correct what Pillow makes of samples of more than 8 bits, in two cases.

    It takes 16-bit colours that are stored plane by plane for 8-bit ones unless they are
    compressed, and swaps the bytes of compressed big-endian greys although libtiff has done so.
    """
    tags = image.tag_v2
    is_planar = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2
    is_16_bit = set(tags.get(TiffImagePlugin.BITSPERSAMPLE, ())) == {16}
    suffix = ";16L" if tags.prefix == TiffImagePlugin.II else ";16B"

    def mended(tile: ImageFile._Tile) -> ImageFile._Tile:
        if not isinstance(tile.args, tuple):
            return tile
        raw_mode, *others = tile.args
        if tile.codec_name == "libtiff":
            raw_mode = _IN_NATIVE_ORDER.get(raw_mode, raw_mode)
        elif is_planar and is_16_bit:
            raw_mode += suffix
        return tile._replace(args=(raw_mode, *others))

    image.tile = [mended(tile) for tile in image.tile]


def _reason(err: BaseException) -> str:
    """Return Pillow's message on one line; it describes the fault and has no image data."""
    return " ".join(str(err).split())[:200] or type(err).__name__
