"""What a backfill writes into PhotoPrism's photos, and above all what it leaves alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.photoprism_standin import PRIORITIES, File, PhotoPrismStandIn
from tests.vision.backfilling import SAFE, UNSAFE, backfilling, caption, labels
from vision.photoprism.client import PhotoPrism
from vision.photoprism.rules import LOWER, Overwrite
from vision.runner.sinks import NotWritten

RANKS = PRIORITIES["2026"]
SOURCES = (*RANKS, "newer")
"""One of a version to come is among them."""


@pytest.fixture
def prism() -> Iterator[PhotoPrismStandIn]:
    with PhotoPrismStandIn(len(SOURCES)) as prism:
        yield prism


def said(prism: PhotoPrismStandIn, uid: str) -> tuple[str, str]:
    photo = prism.library.read(uid)
    return photo.caption, photo.caption_src


def test_sources_rank_as_in_photoprism() -> None:
    assert {source for source, rank in RANKS.items() if rank <= RANKS["image"]} == set(LOWER)


@pytest.mark.parametrize("overwrite", Overwrite)
def test_a_caption_of_another_stays_whatever_its_source(
    prism: PhotoPrismStandIn, tmp_path: Path, overwrite: Overwrite
) -> None:
    sources = dict(zip(prism.uids, SOURCES, strict=True))
    for uid, source in sources.items():
        row = prism.library.photos[uid]
        row.caption, row.caption_src = "Anna at the sea", source
    with backfilling(prism, tmp_path, overwrite) as run:
        for photo in run.library.photos(""):
            assert photo.open_tasks(["caption"]) == []
            assert not run.write_anyhow(photo, caption=caption("a woman"))
    assert prism.writes() == []


@pytest.mark.parametrize("overwrite", Overwrite)
def test_an_empty_caption_is_filled_unless_a_higher_source_has_emptied_it(
    prism: PhotoPrismStandIn, tmp_path: Path, overwrite: Overwrite
) -> None:
    sources = dict(zip(prism.uids, SOURCES, strict=True))
    for uid, source in sources.items():
        prism.library.photos[uid].caption_src = source
    with backfilling(prism, tmp_path, overwrite) as run:
        for photo in run.library.photos(""):
            run.write(photo, caption=caption("a woman"))
    for uid, source in sources.items():
        assert said(prism, uid) == (("a woman", "image") if source in LOWER else ("", source))


@pytest.mark.parametrize(
    ("overwrite", "text"), [(Overwrite.OWN, "a red circle"), (Overwrite.NEVER, "a circle")]
)
def test_our_own_caption_is_replaced_on_demand(
    prism: PhotoPrismStandIn, tmp_path: Path, overwrite: Overwrite, text: str
) -> None:
    uid = prism.uids[0]
    with backfilling(prism, tmp_path) as run:
        assert run.write(run.photo(uid), caption=caption("a circle"))
    with backfilling(prism, tmp_path, overwrite) as run:
        run.write(run.photo(uid), caption=caption("a red circle"))
    assert said(prism, uid) == (text, "image")


def test_our_own_caption_stays_once_a_person_has_changed_or_deleted_it(
    prism: PhotoPrismStandIn, tmp_path: Path
) -> None:
    edited, deleted, *_ = prism.uids
    for text in ("a circle", "a red circle"):
        with backfilling(prism, tmp_path) as run:
            for uid in (edited, deleted):
                run.write(run.photo(uid), caption=caption(text))
        prism.edit(edited, "My circle")
        prism.edit(deleted, "")
    assert said(prism, edited) == ("My circle", "manual")
    assert said(prism, deleted) == ("", "manual")


def test_what_a_person_writes_after_the_model_was_asked_stays(
    prism: PhotoPrismStandIn, tmp_path: Path
) -> None:
    uid = prism.uids[0]
    prism.after_read[uid] = lambda: prism.edit(uid, "Anna at the sea")
    with backfilling(prism, tmp_path) as run:
        photo = run.photo(uid)
        assert photo.open_tasks(["caption"]) == ["caption"]
        assert not run.write_anyhow(photo, caption=caption("a woman"))
    assert said(prism, uid) == ("Anna at the sea", "manual")


def test_photos_that_are_gone_are_left_and_of_others_the_picture_must_be_the_same(
    prism: PhotoPrismStandIn, tmp_path: Path
) -> None:
    deleted, archived, replaced, *_ = prism.uids
    with backfilling(prism, tmp_path) as run:
        photos = [run.photo(uid) for uid in (deleted, archived, replaced)]
        del prism.library.photos[deleted]
        prism.library.photos[archived].deleted_at = prism.library.photos[archived].taken_at
        prism.library.photos[replaced].files = [File.of(9, 64, serial=0)]
        assert photos[0].open_tasks(["caption"]) == ()
        for photo in photos[:2]:
            assert not run.write_anyhow(photo, caption=caption("a circle"))
        with pytest.raises(NotWritten, match="Its picture has been replaced"):
            run.write_anyhow(photos[2], caption=caption("a circle"))
        assert prism.writes() == []
        prism.library.photos[archived].deleted_at = None
        assert run.write_anyhow(photos[1], caption=caption("a circle"))


def test_labels_are_added_to_those_there_are_and_none_is_touched(
    prism: PhotoPrismStandIn, tmp_path: Path
) -> None:
    uid = prism.uids[0]
    for number, source in enumerate(SOURCES):
        prism.library.add_label(uid, f"Thing {number}", uncertainty=80)
        prism.library.rows[1][number + 1].source = source
    prism.library.rows[1][1].uncertainty = 100  # was rejected
    before = prism.labels(uid)
    told = labels(
        **{f"thing_{number}": 0.9 for number in range(len(SOURCES))}, golden_retriever=0.7
    )
    with backfilling(prism, tmp_path) as run:
        assert run.write(run.photo(uid), labels=told)
    assert prism.labels(uid) == {**before, "Golden Retriever": ("manual", 30)}
    added, *_ = prism.writes()
    assert added.body == {
        "Name": "golden retriever", "Uncertainty": 30, "Priority": 0
    }  # fmt: skip


def test_where_nothing_is_to_be_overwritten_only_photos_without_labels_get_some(
    prism: PhotoPrismStandIn, tmp_path: Path
) -> None:
    labelled, rejected, bare, *_ = prism.uids
    for uid in (labelled, rejected):
        prism.library.add_label(uid, "Beach", 20)
    prism.library.rows[2][1].uncertainty = 100
    with backfilling(prism, tmp_path, Overwrite.NEVER) as run:
        for uid in (labelled, rejected, bare):
            run.write(run.photo(uid), labels=labels(cat=0.8))
    assert [list(prism.labels(uid)) for uid in (labelled, rejected, bare)] == [
        ["Beach"], ["Cat", "Beach"], ["Cat"]
    ]  # fmt: skip


@pytest.mark.parametrize(("api", "source"), [("2024", "image"), ("2026", "manual")])
def test_our_labels_are_replaced_and_have_the_right_source_where_photoprism_takes_it(
    tmp_path: Path, api: str, source: str
) -> None:
    with PhotoPrismStandIn(1, api=api) as prism:  # type: ignore[arg-type]
        (uid,) = prism.uids
        for told in (labels(cat=0.8, dog=0.6), labels(dog=0.9, horse=0.7), labels(cat=0.8)):
            with backfilling(prism, tmp_path) as run:
                assert run.write(run.photo(uid), labels=told)
        # Nor are those that we took off rejected: they may come again.
        assert prism.labels(uid) == {"Cat": (source, 20)}


@pytest.mark.parametrize("api", ["2024", "2026"])
def test_a_label_that_a_person_takes_off_or_confirms_stays_so(tmp_path: Path, api: str) -> None:
    with PhotoPrismStandIn(1, api=api) as prism:  # type: ignore[arg-type]
        (uid,) = prism.uids
        with backfilling(prism, tmp_path) as run:
            run.write(run.photo(uid), labels=labels(cat=0.8, dog=0.6))
        ids = {label.name: str(label.id) for label in prism.library.labels}
        prism.library.remove_label(uid, ids["Cat"])
        prism.library.change_label(uid, ids["Dog"], {"Uncertainty": 0})
        confirmed = prism.labels(uid)
        with backfilling(prism, tmp_path) as run:
            run.write(run.photo(uid), labels=labels(cat=0.9, bird=0.6))
        assert {**confirmed, "Bird": prism.labels(uid)["Bird"]} == prism.labels(uid)


def test_labels_that_a_person_gives_while_we_give_ours_are_the_persons(
    prism: PhotoPrismStandIn, tmp_path: Path
) -> None:
    uid = prism.uids[0]

    def person() -> None:
        for name in ("Boat", "Dog"):
            prism.library.add_label(uid, name, uncertainty=0)

    prism.library.before_save[uid] = person
    for told in (labels(cat=0.8, dog=0.6), []):
        with backfilling(prism, tmp_path) as run:
            run.write(run.photo(uid), labels=told)
    assert prism.labels(uid) == {"Boat": ("manual", 0), "Dog": ("manual", 0)}


def test_of_labels_with_one_name_the_surest_counts_and_none_is_given_as_rejected(
    prism: PhotoPrismStandIn, tmp_path: Path
) -> None:
    uid = prism.uids[0]
    told = [*labels(cat=0.3), *labels(Cat=0.9), *labels(CAT=0.5), *labels(dog=0.0)]
    with backfilling(prism, tmp_path) as run:
        run.write(run.photo(uid), labels=told)
    assert prism.labels(uid) == {"Cat": ("manual", 10), "Dog": ("manual", 99)}


def test_a_label_that_is_a_persons_keyword_stays_with_it(
    prism: PhotoPrismStandIn, tmp_path: Path
) -> None:
    uid = prism.uids[0]
    with backfilling(prism, tmp_path) as run:
        run.write(run.photo(uid), labels=labels(cat=0.8, dog=0.8))
    details = {"PhotoID": 1, "Keywords": "cat, sofa", "KeywordsSrc": "manual"}
    prism.library.update(uid, {"Details": details})
    with backfilling(prism, tmp_path) as run:
        run.write(run.photo(uid), labels=labels(bird=0.8))
    assert set(prism.labels(uid)) == {"Cat", "Bird"}
    assert "cat" in prism.library.photos[uid].keywords


def test_what_was_written_before_a_kill_is_known_as_ours_after_it(
    prism: PhotoPrismStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid, first = prism.uids[0], PhotoPrism.add_label
    told = {"caption": caption("two animals"), "labels": labels(cat=0.8, dog=0.6)}

    def killed(self: PhotoPrism, uid: str, fields: dict[str, object]) -> object:
        if fields["Name"] == "dog":
            raise SystemExit
        return first(self, uid, fields)

    with backfilling(prism, tmp_path) as run, monkeypatch.context() as patched:
        patched.setattr(PhotoPrism, "add_label", killed)
        with pytest.raises(SystemExit):
            run.write(run.photo(uid), **told)
    with backfilling(prism, tmp_path) as run:
        assert run.write(run.photo(uid), **told)
        assert not run.write(run.photo(uid), **told)
    assert prism.labels(uid) == {"Cat": ("manual", 20), "Dog": ("manual", 40)}
    assert len([r for r in prism.writes() if r.method == "POST"]) == 2
    with backfilling(prism, tmp_path) as run:
        run.write(run.photo(uid), caption=caption("a bird"), labels=labels(bird=0.7))
    assert said(prism, uid) == ("a bird", "image")
    assert prism.labels(uid) == {"Bird": ("manual", 30)}


def test_an_unsafe_photo_becomes_private_once_and_none_becomes_public(
    prism: PhotoPrismStandIn, tmp_path: Path
) -> None:
    unsafe, safe, hidden, *_ = prism.uids
    prism.library.photos[hidden].private = True
    with backfilling(prism, tmp_path) as run:
        run.write(run.photo(unsafe), nsfw=UNSAFE)
        run.write(run.photo(safe), nsfw=SAFE)
        run.write(run.photo(hidden), nsfw=SAFE)
    assert [prism.library.photos[uid].private for uid in (unsafe, safe, hidden)] == [
        True,
        False,
        True,
    ]
    prism.library.update(unsafe, {"Private": False})
    with backfilling(prism, tmp_path) as run:
        run.write_anyhow(run.photo(unsafe), nsfw=[*UNSAFE, *SAFE])
    assert not prism.library.photos[unsafe].private


def test_texts_are_composed_and_fit_into_the_database(
    prism: PhotoPrismStandIn, tmp_path: Path
) -> None:
    uid = prism.uids[0]
    with backfilling(prism, tmp_path) as run:
        run.write(run.photo(uid), caption=caption("  Cafe\u0301 " + "x" * 5000), labels=[])
    text, _ = said(prism, uid)
    assert (text[:5], len(text)) == ("Caf\u00e9 ", 4096)
