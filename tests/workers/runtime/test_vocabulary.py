"""Vocabularies of zero-shot models: the built-in one, and files that people write."""

from collections import Counter
from pathlib import Path

import pytest

from workers.model.family import LoadError
from workers.runtime.categories import GROUPS, THEMES
from workers.runtime.imagenet import imagenet_classes
from workers.runtime.vocabulary import (
    BUILT_IN,
    Entry,
    find_vocabulary,
    photoprism_names,
    read_vocabulary,
)

PHOTOS = find_vocabulary(BUILT_IN, Path())


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "words.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_built_in_vocabulary_has_more_than_a_thousand_labels() -> None:
    assert len(PHOTOS) >= 1000
    assert sum(bool(entry.synonyms) for entry in PHOTOS) >= 500
    assert sum(bool(entry.categories) for entry in PHOTOS) >= 1000


def test_no_name_occurs_twice_in_the_built_in_vocabulary() -> None:
    counts = Counter(name.casefold() for entry in PHOTOS for name in entry.names)
    assert [name for name, count in counts.items() if count > 1] == []


def test_every_category_of_the_built_in_vocabulary_is_known() -> None:
    known = {entry.name for entry in PHOTOS} | GROUPS | THEMES
    known |= {category for row in imagenet_classes() for category in row.categories}
    assert {category for entry in PHOTOS for category in entry.categories} <= known


@pytest.mark.parametrize("name", ["nun", "papaya", "rugby", "walrus", "Holi", "beer garden"])
def test_what_is_only_similar_has_a_label_of_its_own(name: str) -> None:
    assert name in {entry.name for entry in PHOTOS}


def test_books_of_all_religions_have_one_label() -> None:
    (entry,) = (entry for entry in PHOTOS if "bible" in entry.names)
    assert entry.name == "holy book"
    assert "koran" in entry.names


@pytest.mark.parametrize(
    ("topic", "label"),
    [
        ("person", "baby"), ("animal", "cat"), ("food", "pizza"), ("outdoor", "market"),
        ("landscape", "waterfall"), ("weather", "fog"), ("event", "birthday"),
        ("sports", "skiing"), ("vehicle", "train"), ("building", "church"), ("home", "clock"),
        ("plant", "tulip"), ("activity", "cooking"), ("document", "receipt"),
        ("light", "golden hour"), ("holiday", "Christmas tree"), ("toy", "puzzle"),
    ],
)  # fmt: skip
def test_the_built_in_vocabulary_covers_what_people_photograph(topic: str, label: str) -> None:
    (entry,) = (entry for entry in PHOTOS if entry.name == label)
    assert topic in entry.categories
    assert sum(topic in entry.categories for entry in PHOTOS) >= 8


def test_photoprisms_names_are_given_to_labels_of_the_built_in_vocabulary() -> None:
    ours = {entry.name for entry in PHOTOS}
    names = photoprism_names()
    assert {
        name for name, entry in names.items() if name not in ours and name != entry.name
    } == set()
    assert names["poodle"].name == "dog"
    assert names["seagull"] == names["bird"]
    assert names["rowing boat"].categories == ("vehicle", "water")


def test_a_file_has_names_synonyms_and_categories(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "\ufeff# Haustiere\r\n\r\n[Tier]\r\nKatze | Kater, Kätzchen | Haustier\r\n Hund\r\n"
        "[]\nBaum||Pflanze\n",
    )
    assert read_vocabulary(path) == (
        Entry("Katze", ("Kater", "Kätzchen"), ("Haustier", "Tier")),
        Entry("Hund", (), ("Tier",)),
        Entry("Baum", (), ("Pflanze",)),
    )


@pytest.mark.parametrize("name", ["می\u200cرود", "श्री\u200dमान", "\u200fכלב", "👨\u200d👩\u200d👧"])
def test_names_are_spelled_as_their_scripts_want_it(tmp_path: Path, name: str) -> None:
    assert read_vocabulary(written(tmp_path, f"{name}\n")) == (Entry(name),)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("cat\n\nCat\n", 3, "'Cat' is in line 1 already"),
        ("cat | tabby\ndog | Tabby\n", 2, "'Tabby' is in line 1 already"),
        ("cat | cat\n", 1, "the same name twice"),
        ("cat | a | b | c\n", 1, "4 columns"),
        ("# pets\n| kitten\n", 2, "no name before"),
        ("cat | a,, b\n", 1, "nothing between two commas"),
        ("cat | a,\n", 1, "after the last one"),
        ("[animal\ncat\n", 1, "the bracket is not closed"),
        ("[animal,]\ncat\n", 1, "nothing between two commas"),
        ("cat | | pet, cat\n", 1, "a category of itself"),
        ("cat\n" + "x" * 101 + "\n", 2, "at most 100 characters"),
        ("cat\nd\x00g\n", 2, "that can be printed"),
        ("cat\ndog\tfox\n", 2, "that can be printed"),
        (b"cat\nK\xe4tzchen\n", 2, "not text in UTF-8"),
        ("\n".join(f"n{number}" for number in range(20_001)), 20_001, "more than 20,000 labels"),
    ],
    ids=lambda value: value if isinstance(value, int) else ascii(value)[:20],
)  # fmt: skip
def test_a_broken_file_is_refused_with_the_number_of_the_line(
    tmp_path: Path, text: str | bytes, line: int, problem: str
) -> None:
    with pytest.raises(LoadError, match=rf"words\.txt is broken in line {line}: .*{problem}"):
        read_vocabulary(written(tmp_path, text))


def test_an_empty_file_and_a_missing_one_are_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="has no labels"):
        read_vocabulary(written(tmp_path, "# nothing yet\n[animal]\n"))
    with pytest.raises(LoadError, match=r"absent\.txt cannot be read: No such file.*'photos'"):
        find_vocabulary("absent.txt", tmp_path)
