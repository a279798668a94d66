"""``vision photoprism backfill`` from its options to PhotoPrism, with a running stack."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.photoprism_standin import File, PhotoPrismStandIn
from tests.stack import Stack
from tests.vision.command import Done, vision

PERSON = "Anna at the sea"


@pytest.fixture(scope="module")
def url(stack: Stack, api: str) -> str:
    stack.worker("fake")
    return api


@pytest.fixture
def prism() -> Iterator[PhotoPrismStandIn]:
    with PhotoPrismStandIn(4) as prism:
        prism.edit(prism.uids[0], PERSON)
        prism.requests.clear()
        yield prism


def backfill(prism: PhotoPrismStandIn, url: str, home: Path, *words: object) -> Done:
    return vision(
        "photoprism", "backfill", "--model", "fake", *words, VISION_URL=url,
        PHOTOPRISM_URL=prism.url, PHOTOPRISM_TOKEN=prism.token, XDG_STATE_HOME=str(home),
    )  # fmt: skip


def captions(prism: PhotoPrismStandIn) -> list[str]:
    return [prism.library.photos[uid].caption for uid in prism.uids]


def test_photos_are_captioned_and_labelled_and_a_second_run_has_nothing_to_do(
    prism: PhotoPrismStandIn, url: str, tmp_path: Path
) -> None:
    first = backfill(prism, url, tmp_path)
    assert first.returncode == 0, first.stderr
    assert f"4 photos written to {prism.url}, 0 were there already, 0 failed" in first.stderr
    assert captions(prism)[0] == PERSON
    for uid in prism.uids[1:]:
        photo = prism.library.photos[uid]
        assert photo.caption.startswith("rgb ")
        assert photo.caption_src == "image"
        assert {name.lower() for name in prism.labels(uid)} == {photo.caption}
    assert not prism.library.photos[prism.uids[0]].private  # nobody has asked for nsfw

    prism.requests.clear()
    second = backfill(prism, url, tmp_path)
    assert "0 photos written" in second.stderr
    assert "(0 asked)" in second.stderr
    # Of the photo with a person's caption, it had to be looked whether it is still there.
    assert {request.path for request in prism.requests} == {"photos", f"photos/{prism.uids[0]}"}


def test_only_photos_that_could_be_captioned_are_asked_about(
    prism: PhotoPrismStandIn, url: str, tmp_path: Path
) -> None:
    (_, uid, *_) = prism.uids
    ask = ("--task", "caption", "--filter", f"uid:{prism.uids[0]}|{uid}")
    listed = backfill(prism, url, tmp_path, *ask, "--dry-run")
    (line,) = listed.stdout.splitlines()
    assert line.endswith(f"(uid:{uid})")
    assert "1 of 2 photos would be asked about: caption of fake." in listed.stderr
    assert prism.writes() == []
    run = backfill(prism, url, tmp_path, *ask)
    assert "1 photos written" in run.stderr
    assert "1 left as they are, 0 failed (1 asked" in run.stderr
    assert len(prism.writes()) == 1


def test_another_prompt_replaces_what_we_wrote_unless_that_is_forbidden(
    prism: PhotoPrismStandIn, url: str, tmp_path: Path
) -> None:
    ask = ("--task", "caption")
    backfill(prism, url, tmp_path, *ask)
    before = captions(prism)
    never = backfill(prism, url, tmp_path, *ask, "--prompt", "look", "--overwrite", "never")
    assert "4 left as they are, 0 failed (0 asked)" in never.stderr
    assert captions(prism) == before
    backfill(prism, url, tmp_path, *ask, "--prompt", "look")
    assert captions(prism) == [PERSON, *(f"{text} look" for text in before[1:])]


def test_a_photo_whose_picture_was_replaced_is_asked_about_again(
    prism: PhotoPrismStandIn, url: str, tmp_path: Path
) -> None:
    backfill(prism, url, tmp_path, "--task", "caption")
    (_, uid, *_) = prism.uids
    prism.library.photos[uid].files = [File.of(99, 96)]
    again = backfill(prism, url, tmp_path, "--task", "caption")
    assert "(1 asked" in again.stderr


def test_photos_without_a_thumbnail_are_listed_as_failures(
    prism: PhotoPrismStandIn, url: str, tmp_path: Path
) -> None:
    (_, uid, *_) = prism.uids
    prism.library.photos[uid].files[0].on_disk = False
    run = backfill(prism, url, tmp_path, "--task", "caption")
    assert run.returncode == 1
    assert f"(uid:{uid}): PhotoPrism has no thumbnail of the photo." in run.stderr
    assert "2 photos written" in run.stderr
    assert run.stderr.endswith("The same command tries again to read or write what it could not.\n")
    photo = prism.library.photos[uid]
    photo.files[0].on_disk, photo.deleted_at, photo.quality = True, None, 3  # indexed anew
    assert "1 photos written" in backfill(prism, url, tmp_path, "--task", "caption").stderr


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--token", "aaaaaa-bbbbbb-cccccc-dddddd"], 3, "does not accept the token"),
        (["--filter", "colour:"], 2, "PhotoPrism says: Unable to do that"),
        (["--task", "smell"], 2, "There is no task 'smell'"),
        (["--service", "http://127.0.0.1:1"], 3, "The service cannot be reached"),
    ],
    ids=["token", "filter", "task", "service"],
)
def test_what_cannot_be_done_is_said_before_anything_is_asked(
    prism: PhotoPrismStandIn, url: str, tmp_path: Path, words: list[str], status: int, sentence: str
) -> None:
    said = backfill(prism, url, tmp_path, *words)
    assert said.returncode == status
    assert sentence in said.stderr
    assert "Traceback" not in said.stderr
