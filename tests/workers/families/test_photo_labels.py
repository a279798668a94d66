"""What EfficientNet-Lite0 calls the sample photos, and pictures made from them."""

from collections.abc import Callable

import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from shared.messages import Instructions
from shared.model_spec import ModelSpec
from shared.tasks import CAPTION, LABELS
from tests.inputs import prepared
from tests.nsfw_reference import sample
from workers.model.family import LoadContext, PreparedJob, VisionModel, load_model

Make = Callable[[], Image.Image]


@pytest.fixture(scope="module")
def model() -> VisionModel:
    spec = ModelSpec.model_validate({"name": "m", "family": "efficientnet_lite"})
    return load_model(LoadContext(spec, None, "cpu", 1))


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    both = Image.new("RGB", (600, 300))
    for n, photo in enumerate((left, right)):
        both.paste(ImageOps.fit(photo, (300, 300)), (300 * n, 0))
    return both


def blended(first: Image.Image, second: Image.Image, share: float) -> Image.Image:
    return Image.blend(first.resize((400, 400)), second.resize((400, 400)), share)


PICTURES: list[tuple[str, Make, list[str]]] = [
    ("cat", lambda: sample("cat"), ["cat"]),
    ("coffee", lambda: sample("coffee"), ["espresso"]),
    ("astronaut", lambda: sample("astronaut"), []),  # ImageNet has no class for people
    ("cat, blurred", lambda: sample("cat").filter(ImageFilter.GaussianBlur(4)), ["cat"]),
    ("cat, much blurred", lambda: sample("cat").filter(ImageFilter.GaussianBlur(8)), ["cat"]),
    ("cat, in grey", lambda: ImageOps.grayscale(sample("cat")).convert("RGB"), ["cat"]),
    ("cat, dark", lambda: ImageEnhance.Brightness(sample("cat")).enhance(0.25), ["cat"]),
    ("cat, face", lambda: sample("cat").crop((120, 40, 330, 220)), ["cat"]),
    ("cat, left third", lambda: sample("cat").crop((0, 0, 200, 300)), ["cat"]),
    ("cat, on its side", lambda: sample("cat").rotate(90, expand=True), ["cat"]),
    ("cat, 48 x 32", lambda: sample("cat").resize((48, 32)), ["cat"]),
    ("coffee, cropped", lambda: sample("coffee").crop((150, 50, 450, 350)), ["espresso"]),
    ("cat beside coffee", lambda: beside(sample("cat"), sample("coffee")), ["coffee"]),
    ("coffee faint on cat", lambda: blended(sample("cat"), sample("coffee"), 0.3), ["cat"]),
    ("astronaut, face", lambda: sample("astronaut").crop((150, 0, 350, 200)), ["clothing"]),
    ("white", lambda: Image.new("RGB", (300, 300), "white"), []),
]


@pytest.mark.parametrize(
    ("make", "names"), [pytest.param(make, names, id=name) for name, make, names in PICTURES]
)
def test_a_photo_has_the_labels_that_a_person_would_give(
    model: VisionModel, make: Make, names: list[str]
) -> None:
    job = PreparedJob([prepared(model, make())], Instructions(tasks=(CAPTION, LABELS)))

    (found,) = model.predict([job], max_images=1)

    assert [label.name for label in found[LABELS]] == names
    caption = found.root.get(CAPTION)  # there is none without a word
    assert (caption.text if caption else "") == " and ".join(names)


def test_crops_of_a_photo_do_not_add_breeds_to_the_kind(model: VisionModel) -> None:
    cat = sample("cat")
    crops = [cat.crop((left, 0, left + 300, 300)) for left in (75, 0, 151)]
    job = PreparedJob([prepared(model, crop) for crop in crops], Instructions(tasks=(LABELS,)))

    (found,) = model.predict([job], max_images=3)

    assert [label.name for label in found[LABELS]] == ["cat"]
