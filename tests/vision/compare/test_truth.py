"""Labels that a person has corrected in PhotoPrism tell which models are right."""

import hashlib
import time
from pathlib import Path

import pytest

from tests.photoprism_standin import PhotoPrismStandIn
from tests.vision.compare.standings import figures, labels
from vision.compare.answers import Said
from vision.compare.ranking import are_judged, ranked, rule
from vision.compare.truth import Judged, Precision, judgements, precision_of
from vision.photoprism.client import PhotoPrism
from vision.photoprism.connection import Connection
from vision.photoprism.photo import Photo as Told
from vision.runner.files import Photo


def label(name: str, source: str, uncertainty: int, number: int = 1) -> dict[str, object]:
    named = {"Name": name, "Slug": name.lower(), "CustomSlug": ""}
    return {"LabelID": number, "LabelSrc": source, "Uncertainty": uncertainty, "Label": named}


def test_what_a_person_gave_is_right_and_what_they_took_away_is_wrong() -> None:
    told = {
        "UID": "p1",
        "Labels": [
            label("Dogs", "manual", 0, 1), label("Cat", "manual", 100, 2),
            label("Tree", "image", 10, 3), label("Bird", "image", 100, 4),
        ],
    }  # fmt: skip
    assert Judged.of(Told.read(told)) == Judged(frozenset({"dog"}), frozenset({"cat"}))


def test_precision_counts_only_what_was_judged() -> None:
    truth = Judged(frozenset({"dog", "grass", "plant"}), frozenset({"cat"}))
    said = Said(names=("Dog", "cat", "unknown thing", "oak"), categories=("plant",))
    found = precision_of([said, None, said], [truth, truth, None])
    assert found == Precision(right=1, wrong=1, wanted=3, found=2)
    assert found.share == 0.5
    assert found.recall == pytest.approx(2 / 3)
    assert (Precision().share, Precision().recall) == (None, None)


def test_precision_ranks_two_models_of_which_agreement_says_nothing() -> None:
    photos = 12
    truth = {str(photo): Judged(frozenset({"dog"}), frozenset({"cat"})) for photo in range(photos)}
    right, wrong = (
        labels(name, *([said] * photos), photos=9, seconds=seconds)
        for name, said, seconds in (("right", "dog", 90.0), ("wrong", "cat", 9.0))
    )
    unjudged = ranked(figures(right, wrong))
    assert [one.contestant.name for one in unjudged] == ["wrong", "right"]  # which is faster
    judged = ranked(figures(right, wrong, judged=truth))
    assert [one.contestant.name for one in judged] == ["right", "wrong"]
    assert [one.precision.share for one in judged] == [1.0, 0.0]
    assert are_judged(judged)
    assert "according to yours in PhotoPrism" in rule(2, "labels", judged=True)


def test_photos_are_found_in_photoprism_by_their_content(tmp_path: Path) -> None:
    with PhotoPrismStandIn(30) as standin:
        photos = []
        for number, uid in enumerate(standin.uids[:25]):
            path = tmp_path / f"renamed {number}.jpg"
            path.write_bytes(f"photo {number}".encode())
            photos.append(Photo(path))
            (file, *_) = standin.library.photos[uid].files
            file.hash = hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
        prism = PhotoPrism(Connection(standin.url, standin.token, 10, time.sleep))
        given = prism.add_label(standin.uids[3], {"Name": "Dog", "Priority": 10})
        prism.add_label(standin.uids[24], {"Name": "Cat", "Priority": 10})
        prism.add_label(standin.uids[29], {"Name": "Cow", "Priority": 10})  # not among ours
        assert given.labels
        found = judgements(prism, [*photos, Photo(tmp_path / "gone.jpg")])
    assert found == {
        photos[3].name: Judged(frozenset({"dog"}), frozenset()),
        photos[24].name: Judged(frozenset({"cat"}), frozenset()),
    }
