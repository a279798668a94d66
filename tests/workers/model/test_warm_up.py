"""A captioner must find words for a test picture; nobody else must."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.messages import Instructions
from shared.model_spec import ModelSpec
from shared.tasks import CAPTION
from shared.tasks.caption import Caption
from workers.model.family import Answer, LoadError, PartDamaged, PerImageModel
from workers.model.warm_up import simple_pictures, warm_up
from workers.preparing.pixels import whole
from workers.preparing.preparation import Prepared


class Says(PerImageModel):
    """Says its texts, one after the other, and raises what is no text."""

    preparation = whole()

    def __init__(self, *texts: str | Exception) -> None:
        self.texts = list(texts)

    def prepare(self, image: Prepared) -> Prepared:
        return image

    def predict_images(self, images: Sequence[Any], instructions: Instructions) -> list[Answer]:
        text = self.texts.pop(0)
        if isinstance(text, Exception):
            raise text
        return [{CAPTION: Caption(text=text)}]


def spec(family: str, **row: Any) -> ModelSpec:
    return ModelSpec.model_validate({"name": "m", "family": family, "source": "own/m", **row})


def test_one_answer_is_enough(tmp_path: Path) -> None:
    model = Says("a grey square", "unused")
    warm_up(model, spec("blip"), tmp_path)
    assert model.texts == ["unused"]


def test_a_model_without_words_for_a_grey_square_gets_further_pictures(tmp_path: Path) -> None:
    model = Says("", "...", "a sun")
    warm_up(model, spec("blip"), tmp_path)
    assert model.texts == []


@pytest.mark.parametrize("text", ["", " \n", "!!!!!!", ". . ."])
def test_a_captioner_without_words_fails_and_says_what_to_do(tmp_path: Path, text: str) -> None:
    with pytest.raises(PartDamaged, match=f"no words.*Delete {tmp_path}"):
        warm_up(Says(*[text] * 3), spec("blip"), tmp_path)


@pytest.mark.parametrize("text", ["кот", "猫", "قطة", "बिल्ली"])
def test_words_may_be_of_any_script(tmp_path: Path, text: str) -> None:
    warm_up(Says(text), spec("blip"), tmp_path)


@pytest.mark.parametrize(
    "silent",
    [spec("kosmos2", tasks=["labels"]), spec("efficientnet_lite"), spec("fake")],
    ids=lambda silent: silent.family,
)
def test_who_writes_no_captions_may_be_silent(silent: ModelSpec) -> None:
    warm_up(Says(""), silent, None)


def test_a_failure_names_the_files_that_may_cause_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    with pytest.raises(PartDamaged) as caught:
        warm_up(Says(TypeError("None + 1")), spec("blip"), tmp_path)

    assert "failed on a test picture (TypeError: None + 1)" in str(caught.value)
    assert "There are config.json; not there are generation_config.json, " in str(caught.value)
    assert "tokenizer_config.json" in caught.value.files
    assert "config.json" not in caught.value.files


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA error: an illegal address"), LoadError("known")]
)
def test_failures_of_another_kind_stay_what_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        warm_up(Says(error), spec("blip"), tmp_path)

    assert caught.value is error


class TakesTime(Says):
    """Notes the sizes of its batches; more than ``fits`` images are too many."""

    first_batches = (8, 8, 1, 1)

    def __init__(self, fits: int = 8) -> None:
        super().__init__()
        self.fits = fits
        self.sizes: list[int] = []

    def predict_images(self, images: Sequence[Any], instructions: Instructions) -> list[Answer]:
        self.sizes.append(len(images))
        if len(images) > self.fits:
            raise MemoryError
        return [{CAPTION: Caption(text="a square")} for _ in images]


def test_batches_that_cost_more_the_first_times_are_run_before_requests_come() -> None:
    model = TakesTime()
    warm_up(model, spec("blip"), None)
    assert model.sizes == [1, 8, 8, 1, 1]


def test_a_slow_device_is_not_kept_from_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.model.warm_up.FIRST_BATCHES_S", -1.0)
    model = TakesTime()
    warm_up(model, spec("blip"), None)
    assert model.sizes == [1]


def test_a_batch_that_does_not_fit_is_no_fault_of_the_model() -> None:
    model = TakesTime(fits=1)
    warm_up(model, spec("blip"), None)
    assert model.sizes == [1, 8]


def test_the_pictures_differ() -> None:
    assert len({picture.tobytes() for picture in simple_pictures()}) == 3
