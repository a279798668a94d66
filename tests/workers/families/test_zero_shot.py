"""Labels from vocabularies, by trained tiny checkpoints of SigLIP 2 and CLIP."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from shared.messages import Instructions
from shared.model_spec import ModelSpec
from shared.tasks import LABELS
from shared.tasks.labels import Label
from tests.inputs import prepared
from tests.stack import TESTS
from tools.tiny_checkpoints import shapes
from workers.families.zero_shot import ZeroShot
from workers.model.family import LoadContext, LoadError, PreparedJob
from workers.runtime import text_embeddings

SHAPES = "[shape]\ncircle | round thing\nsquare\ntriangle\ncross\n[]\n"
COLOURS = "red | crimson | colour\ngreen\nblue\nyellow\npurple\norange\nwhite\nblack\n"
GERMAN = "rot | dunkelrot\ngrün\nblau\ngelb\nlila\norangefarben\nweiß\nschwarz\n"
TO_LABEL = Instructions(tasks=(LABELS,))
HELD_OUT = [shapes.draw(shapes.HELD_OUT_SEED + number) for number in range(40)]


def load(
    folder: Path,
    vocabulary: str = COLOURS,
    report: Callable[[str], None] = lambda _: None,
    **parameters: Any,
) -> ZeroShot:
    """Load a checkpoint that lies in a folder of models, with a vocabulary beside it."""
    (folder.parent / "words.txt").write_text(vocabulary, encoding="utf-8")
    chosen = {
        "vocabulary": "words.txt",
        "labels_per_picture": 1,
        # CLIP's labels share what one picture has to give.
        "labels": {"min_confidence": 0.1 if folder.name == "clip" else 0.5},
        **parameters,
    }
    row = {"name": "m", "family": "zero_shot", "source": "x/y", "parameters": chosen}
    spec = ModelSpec.model_validate(row)
    return ZeroShot(LoadContext(spec, folder, "cpu", 1, report=report))


def labels(model: ZeroShot, images: Sequence[Image.Image]) -> list[tuple[Label, ...]]:
    jobs = [PreparedJob([prepared(model, image)], TO_LABEL) for image in images]
    return [result[LABELS] for result in model.predict(jobs, max_images=len(images))]


def names(model: ZeroShot, images: Sequence[Image.Image]) -> list[set[str]]:
    return [{label.name for label in found} for found in labels(model, images)]


@pytest.fixture(params=["siglip2", "clip"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return copied(request.param, tmp_path)


@pytest.fixture
def siglip2(tmp_path: Path) -> Path:
    return copied("siglip2", tmp_path)


def copied(name: str, folder: Path) -> Path:
    """Return a copy of a checkpoint: embeddings are kept beside it."""
    return Path(shutil.copytree(TESTS / "checkpoints" / name, folder / "models" / name))


def shape_of(colour: str, kind: str) -> Image.Image:
    return shapes.draw(1, colour=colour, shape=kind).image


def test_colours_of_held_out_pictures_are_right(checkpoint: Path) -> None:
    found = names(load(checkpoint), [picture.image for picture in HELD_OUT])
    right = sum(got == {p.colour} for got, p in zip(found, HELD_OUT, strict=True))
    assert right >= 35


def test_several_labels_share_a_picture(tmp_path: Path) -> None:
    model = load(copied("clip", tmp_path), SHAPES + COLOURS)
    found = names(model, [picture.image for picture in HELD_OUT])
    right = sum(got == {p.colour, p.shape} for got, p in zip(found, HELD_OUT, strict=True))
    assert right >= 31


def test_words_of_another_language_are_found(siglip2: Path) -> None:
    model = load(siglip2, GERMAN, templates=("{}", "a photo of {}"))
    pictures = [shape_of("red", "circle"), shape_of("blue", "cross"), shape_of("white", "square")]
    assert names(model, pictures) == [{"rot"}, {"blau"}, {"weiß"}]


def test_a_synonym_gives_the_name_of_its_label_with_its_categories(checkpoint: Path) -> None:
    model = load(checkpoint, "crimson | red | warm colour, colour\ngreen\nblue\n")
    ((found,),) = labels(model, [shape_of("red", "circle")])
    assert (found.name, found.categories) == ("crimson", ("warm colour", "colour"))


def test_a_special_label_stands_for_its_category(siglip2: Path) -> None:
    words = "warm | red, yellow, orange\nred circle | red square | warm\nblue\n"
    model = load(siglip2, words, labels={"min_confidence": 0.5})
    red, yellow = labels(model, [shape_of("red", "circle"), shape_of("yellow", "cross")])
    assert [(x.name, x.categories) for x in red] == [("red circle", ("warm",))]
    assert [x.name for x in yellow] == ["warm"]


def test_pictures_of_nothing_in_the_vocabulary_have_no_labels(checkpoint: Path) -> None:
    model = load(checkpoint, "red\nblue\nyellow\n")
    assert names(model, [shape_of("green", "circle"), shape_of("white", "square")]) == [
        set(),
        set(),
    ]


def test_a_row_has_its_own_threshold_and_number_of_labels(siglip2: Path) -> None:
    picture = [shape_of("red", "circle")]
    everything = {"min_confidence": 0.0, "told_apart": 0.0}
    (many,) = labels(load(siglip2, "red\ngreen\nblue\n", labels=everything), picture)
    (few,) = labels(load(siglip2, labels={**everything, "most_labels": 1}), picture)
    (none,) = labels(load(siglip2, labels={"min_confidence": 1.0}), picture)
    assert (len(many), len(few), few[0].topicality, none) == (3, 1, 1.0, ())


def test_the_confidence_of_siglip_follows_the_number_of_labels_that_fit(siglip2: Path) -> None:
    """One of eight labels has odds of 1 : 7; three have odds of 3 : 5."""
    picture = [shape_of("red", "circle")]
    everything = {"min_confidence": 0.0, "most_labels": 12, "told_apart": 0.0}
    few, many = (
        {
            x.name: x.confidence
            for x in labels(load(siglip2, labels=everything, labels_per_picture=n), picture)[0]
        }
        for n in (1, 3)
    )
    doubtful = [name for name in few if 0.01 < few[name] < 0.99 and 0.01 < many[name] < 0.99]
    for name in doubtful:
        ratio = many[name] / (1 - many[name]) / (few[name] / (1 - few[name]))
        assert ratio == pytest.approx((3 / 5) / (1 / 7), rel=0.05)
    assert all(many[name] >= few[name] for name in few)


def test_embeddings_are_computed_once_and_found_again(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(checkpoint)
    (kept,) = checkpoint.with_name(f"{checkpoint.name}.embeddings").iterdir()
    assert kept.suffix == ".safetensors"
    monkeypatch.setattr(
        "workers.runtime.contrastive.ContrastiveModel.embed_texts", None
    )  # would fail if it were called
    again = load(checkpoint)
    pictures = [shape_of("red", "circle"), shape_of("black", "cross")]
    assert labels(again, pictures) == labels(first, pictures)


@pytest.mark.parametrize("changed", ["vocabulary", "templates", "weights", "tokenizer"])
def test_embeddings_of_something_else_are_not_used(siglip2: Path, changed: str) -> None:
    load(siglip2)
    words = COLOURS
    parameters: dict[str, Any] = {}
    if changed == "vocabulary":
        words = COLOURS.replace("black", "white cross")
    elif changed == "templates":
        parameters = {"templates": ("{}",)}
    elif changed == "weights":
        weights = load_file(siglip2 / "model.safetensors")
        weights = {name: value * 1.01 for name, value in weights.items()}
        save_file(weights, siglip2 / "model.safetensors", metadata={"format": "pt"})
    else:
        text = (siglip2 / "tokenizer.json").read_text()
        (siglip2 / "tokenizer.json").write_text(text + "\n")
    load(siglip2, words, **parameters)
    assert len(list(siglip2.with_name("siglip2.embeddings").iterdir())) == 2


def test_people_are_told_how_far_the_vocabulary_is_read(siglip2: Path) -> None:
    said: list[str] = []
    words = "\n".join(f"thing {number}" for number in range(40))
    load(siglip2, words, said.append)
    assert said == [f"reading the vocabulary: {done} of 40" for done in (32, 40)]


def test_a_vocabulary_that_was_changed_is_read_when_the_model_is_loaded_again(
    siglip2: Path,
) -> None:
    picture = [shape_of("red", "circle")]
    assert names(load(siglip2, "scarlet | red\nblue\n"), picture) == [{"scarlet"}]
    assert names(load(siglip2, "red | | colour\nblue | | colour\n"), picture) == [{"red"}]


def test_a_models_folder_that_cannot_be_written_is_no_obstacle(
    siglip2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    siglip2.with_name("siglip2.embeddings").write_text("not a folder")  # also for root
    assert names(load(siglip2), [shape_of("red", "circle")]) == [{"red"}]
    (folder,) = temporary.iterdir()
    assert len(list(folder.iterdir())) == 1


def test_a_link_in_the_folder_for_temporary_files_is_not_followed(
    siglip2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary, elsewhere = tmp_path / "tmp", tmp_path / "elsewhere"
    temporary.mkdir()
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    siglip2.with_name("siglip2.embeddings").write_text("not a folder")
    (temporary / f"vision-workers-{os.getuid()}-siglip2.embeddings").symlink_to(elsewhere)
    assert names(load(siglip2), [shape_of("red", "circle")]) == [{"red"}]
    assert list(elsewhere.iterdir()) == []


def test_damaged_embeddings_are_computed_again(siglip2: Path) -> None:
    load(siglip2)
    (kept,) = siglip2.with_name("siglip2.embeddings").iterdir()
    whole = kept.read_bytes()
    for broken in (whole[:100], b"", whole[: len(whole) // 2]):
        kept.write_bytes(broken)
        assert names(load(siglip2), [shape_of("red", "circle")]) == [{"red"}]
        assert kept.read_bytes() == whole


def test_the_embeddings_used_longest_ago_are_deleted(tmp_path: Path) -> None:
    checkpoint = copied("siglip2", tmp_path)
    folder = checkpoint.with_name("siglip2.embeddings")

    def keep(part: str) -> Path:
        shape = 2, 3
        text_embeddings.cached(checkpoint, (part,), shape, lambda: torch.ones(shape))
        return folder / f"{text_embeddings.key(checkpoint, (part,))}.safetensors"

    files = [keep(str(number)) for number in range(text_embeddings.MAX_FILES)]
    for age, file in enumerate(files):
        os.utime(file, (1000 + age, 1000 + age))
    keep("0")  # used again, so that the second is now the oldest
    newest = keep("another")
    assert {*folder.iterdir()} == {*files, newest} - {files[1]}


def test_what_a_killed_process_had_begun_to_write_is_deleted_when_it_is_old(siglip2: Path) -> None:
    load(siglip2)
    folder = siglip2.with_name("siglip2.embeddings")
    (kept,) = folder.iterdir()
    abandoned, being_written = folder / "a.partial", folder / "b.partial"
    for file in (abandoned, being_written):
        file.write_bytes(b"half")
    os.utime(abandoned, (1000, 1000))
    load(siglip2)
    assert {*folder.iterdir()} == {kept, being_written}


def test_photoprisms_names_can_be_asked_for(siglip2: Path) -> None:
    words = "poodle | red\nseagull | blue | seabird, bird\nsomething else | green\n"
    model = load(siglip2, words, names="photoprism")
    red, blue = labels(model, [shape_of("red", "circle"), shape_of("blue", "square")])
    assert [(x.name, x.categories) for x in red] == [("dog", ("animal",))]
    assert [(x.name, x.categories) for x in blue] == [("bird", ("animal",))]


def test_under_photoprisms_names_a_label_and_its_category_are_not_both_given(
    siglip2: Path,
) -> None:
    # The pebble beach becomes a beach, and the wave water, which is a category of that.
    words = "pebble beach | red\nwave | red circle\n"
    model = load(siglip2, words, names="photoprism", labels={"min_confidence": 0.0})
    (found,) = labels(model, [shape_of("red", "circle")])
    assert [x.name for x in found] in (["beach"], ["water"])


def test_a_broken_vocabulary_is_refused_with_the_line(siglip2: Path) -> None:
    with pytest.raises(LoadError, match=r"words\.txt is broken in line 2"):
        load(siglip2, "red\nRed\n")


def test_a_model_that_compares_nothing_is_refused_by_its_type(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"type kosmos-2, which does not compare pictures"):
        load(copied("kosmos-2", tmp_path))


def test_a_template_without_a_place_for_the_name_is_refused(siglip2: Path) -> None:
    with pytest.raises(ValueError, match="for the name"):
        load(siglip2, templates=("a photo",))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8"])
def test_other_dtypes_give_the_same_labels(checkpoint: Path, dtype: str) -> None:
    pictures = [picture.image for picture in HELD_OUT[:20]]
    same = zip(
        names(load(checkpoint, dtype=dtype), pictures),
        names(load(checkpoint), pictures),
        strict=True,
    )
    assert sum(one == other for one, other in same) >= 18
