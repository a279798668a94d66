"""Turns pixels of any mode into 8-bit RGB."""

from PIL import Image, ImageChops, ImageCms, ImageMath, TiffImagePlugin

_FULL_16 = 65535
_DARKEST_16 = 4095
"""A 16-bit grey picture that stays below has 12 bits or fewer, and would come out as black."""
_TAIL = 0.0005
"""Share of the pixels that may be darker, and as many lighter, than the range of a deep grey."""
_ROUNDS = 20
"""How often a range is narrowed at most; each time to half or less."""
_TOO_LARGE_BITS = 0x7149F2CA
"""The bits of 1e30 as float32: larger values, infinity and NaN mark pixels without a value."""
_SIGNED, _UNSIGNED, _WHITE_IS_ZERO = 2, 1, 0
"""Values of TIFF's tags SampleFormat and PhotometricInterpretation."""


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a decoded image in 8-bit RGB, its transparent pixels blended with white."""
    image = _without_rare_modes(_with_8_bits(image))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _without_rare_modes(image: Image.Image) -> Image.Image:
    """Convert the modes that Pillow converts to RGB not at all, or not at once."""
    if image.mode == "La":
        return image.convert("LA")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(lab, srgb, "LAB", "RGB").point(image)
    return image


def _with_8_bits(image: Image.Image) -> Image.Image:
    """Scale greys of more than 8 bits to 8; Pillow would clip them.

    See https://github.com/python-pillow/Pillow/issues/3159. In 16 bits white is 65535, unless the
    whole picture would be black; floats and 32 bits have no agreed white, so they are scaled by
    the range of the pixels.
    """
    if image.mode == "L" and _tag(image, TiffImagePlugin.SAMPLEFORMAT) == _SIGNED:
        return image.point(lambda value: value ^ 0x80)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        grey = image.convert("F")
        low, high = _extrema(grey)
        scaled = _scale(grey, low, high) if high <= _DARKEST_16 else _scale(grey, 0, _FULL_16)
        inverted = _tag(image, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
        return ImageChops.invert(scaled) if inverted else scaled
    if image.mode in ("I", "F"):
        grey = _as_floats(image)
        return _scale(grey, *_range(grey))
    return image


def _as_floats(image: Image.Image) -> Image.Image:
    """Return greys as finite floats; Pillow has large unsigned 32-bit integers as negative ones."""
    if image.mode == "I":
        is_unsigned = _tag(image, TiffImagePlugin.SAMPLEFORMAT, _UNSIGNED) == _UNSIGNED
        raw = "F;32N" if is_unsigned else "F;32NS"
        return Image.frombytes("F", image.size, image.tobytes(), "raw", raw)
    bits = Image.frombytes("I", image.size, image.tobytes())
    without_value = ImageMath.lambda_eval(
        lambda args: ((args["bits"] & 0x7FFFFFFF) >= _TOO_LARGE_BITS) * 255, bits=bits
    ).convert("L")
    if without_value.getextrema() == (0, 0):
        return image
    lowest, highest = image.copy(), image.copy()
    lowest.paste(1e30, mask=without_value)
    highest.paste(-1e30, mask=without_value)
    dark, light = _extrema(lowest)[0], _extrema(highest)[1]
    lowest.paste(min(dark, light), mask=without_value)
    return lowest


def _range(grey: Image.Image) -> tuple[float, float]:
    """Return the range of the pixels, without a few far outliers such as a broken sensor's."""
    low, high = _extrema(grey)
    pixels = grey.width * grey.height
    for _ in range(_ROUNDS):
        if low >= high:
            break
        counts = grey.histogram(None, (low, high))
        first, last = _first_bin(counts, pixels), len(counts) - 1 - _first_bin(counts[::-1], pixels)
        if last - first >= len(counts) // 2:
            break
        step = (high - low) / (len(counts) - 1)  # Pillow's last bin has the lightest value alone
        low, high = low + first * step, low + (last + 1) * step
    return low, high


def _first_bin(counts: list[int], pixels: int) -> int:
    """Return the first bin of a histogram that is not in the tail."""
    total = 0
    for index, count in enumerate(counts):
        total += count
        if total > _TAIL * pixels:
            return index
    return 0


def _scale(grey: Image.Image, low: float, high: float) -> Image.Image:
    """Map a range of floats to 0 to 255, rounded and clipped. No range: black, or medium grey."""
    if low >= high:
        return Image.new("L", grey.size, 128 if high > 0 else 0)
    factor = 255 / (high - low)
    return grey.point(lambda value: value * factor + (0.5 - low * factor)).convert("L")


def _extrema(image: Image.Image) -> tuple[float, float]:
    low, high = image.getextrema()
    return float(low), float(high)  # type: ignore[arg-type]  # one band


def _tag(image: Image.Image, tag: int, default: int | None = None) -> int | None:
    """Return a TIFF's tag, the first of several values; ``None`` for other formats."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return None
    value = image.tag_v2.get(tag, default)
    first = value[0] if isinstance(value, tuple) and value else value
    return first if isinstance(first, int) else None
