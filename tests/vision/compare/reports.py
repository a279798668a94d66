"""Reports for tests, of contestants whose answers are written down."""

import io
from collections.abc import Sequence

from PIL import Image

from tests.vision.compare.standings import captions as trial_of_captions
from tests.vision.compare.standings import figures, labels
from vision.compare.figures import Figures
from vision.compare.report.document import Comparison
from vision.compare.thumbnails import Shown
from vision.photoprism.vision_yml import Door, Entries

HOSTILE = (
    '<img src=x onerror="alert(1)">', "</script><script>alert(1)</script>",
    "<!-- --><svg onload=a>", "\"' onmouseover='alert(1)", "&lt;b&gt; ]]> \x00 \ud800",
    "<!--<script>",
)  # fmt: skip
GOOD = ("a red circle", "a blue square", "a green cross", "a white circle", "a black cross")
BAD = ("a wet dog", "a tall cat", "a green cross", "a small owl", "an old fox")
COLOURS = ("red", "blue", "green", "white", "black")
NAMES = [f"{colour}.jpg" for colour in COLOURS]


def picture(colour: str = "grey") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (300, 200), colour).save(buffer, "WEBP")
    return buffer.getvalue()


def comparison(
    names: Sequence[str] = NAMES,
    captions: Sequence[str] = GOOD,
    *,
    contests: dict[str, list[Figures]] | None = None,
    pictures: Sequence[bytes | None] | None = None,
) -> Comparison:
    """A comparison: "keen" says the captions, "dull" others; labels are disputed, too."""
    if contests is None:
        count = len(captions)
        contests = {
            "caption": figures(
                trial_of_captions("keen", *captions, photos=4, seconds=8.0, alone=[2.0]),
                trial_of_captions("dull", *(BAD * 2)[:count], photos=4, seconds=2.0, alone=[0.5]),
            ),
            "labels": figures(
                labels("keen", *("circle/shape, red" for _ in captions)),
                labels("dull", *("shape, dog" for _ in captions)),
            ),
        }
    shown = pictures or [picture(colour) for colour in (COLOURS * 2)[: len(names)]]
    return Comparison(
        about="Photos of a test.",
        photos=[
            Shown(name, content, "" if content else "It cannot be shown.")
            for name, content in zip(names, shown, strict=True)
        ],
        contests=contests,
        entries=Entries(
            "http://vision.example:5000", Door.VISION, needs_key=False, chosen={}, able={}
        ),
        library=7200,
        remarks=("A remark.",),
    )
