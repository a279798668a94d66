"""Loops are cut to what they say, and what people repeat stays."""

import time
import zlib

import pytest

from tests.workers.captions.examples import read
from workers.captions.repetition import without_loops

LOOPS = [
    ("the cat and " * 90, "the cat"),
    ("the cat and the cat and the cat and the", "the cat"),
    ("a cat sitting on a table next to a cat sitting on a table next to a cat",
     "a cat sitting on a table"),
    ("A man by a wall with a clock on the side of the wall with a clock on the side of the",
     "A man by a wall with a clock on the side"),
    ("A cat sits on a mat. " * 40, "A cat sits on a mat."),
    ("A dog runs. A cat sits. " * 20, "A dog runs. A cat sits."),
    ("It is day. A cat sits. A cat sits. A cat sits. A cat", "It is day. A cat sits."),
    ("A cat sits on a mat. The cat and the cat and the cat and the cat", "A cat sits on a mat."),
    ("a man, a man, a man, a man, and a dog", "a man, and a dog"),
    ("A very very very very very very old house with a garden.", "A very old house with a garden."),
    ("a " + "dog" * 300, "a dog"),
    ("A cat on a mat" + "." * 900, "A cat on a mat."),
    ("A cat" + "!?" * 300, "A cat!?"),
    ("ein Hund und " * 60, "ein Hund"),
    ("una gata y " * 60 + "una", "una gata"),
    ("Кошка сидит на ковре. " * 30, "Кошка сидит на ковре."),
    ("كلب و " * 80 + "قطة تجلس على السجادة", "كلب و قطة تجلس على السجادة"),
    ("बिल्ली चटाई पर बैठी है। " * 30, "बिल्ली चटाई पर बैठी है।"),
    ("一只猫和" * 60, "一只猫"),
    ("一只猫坐在垫子上。" * 30, "一只猫坐在垫子上。"),
    ("一只猫坐在垫子上。" + "一只狗和" * 60, "一只猫坐在垫子上。"),
    ("猫がマットに座っている。" * 30, "猫がマットに座っている。"),
    ("แมวนั่งอยู่บนเสื่อ" * 30, "แมวนั่งอยู่บนเสื่อ"),
]  # fmt: skip
NOTHING = [
    "cat " * 300, "the the the the the the the", "哈" * 200, "rgb" * 300, "a" * 1000, "ha " * 50,
    "1 " * 200, "- " * 200, "dog cat cat dog cat dog dog cat cat cat dog dog dog cat dog cat dog",
    " ".join(f"cat {n}," for n in range(150)), " ".join(f"{n}." for n in range(300)),
    " ".join(f"a cat with {n} legs and" for n in range(60)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"), LOOPS, ids=lambda text: f"{text[:16]}-{zlib.crc32(text.encode()):x}"
)
def test_a_loop_is_cut_to_what_it_says(text: str, said: str) -> None:
    assert without_loops(text.strip()) == said


@pytest.mark.parametrize(
    "text", NOTHING, ids=lambda text: f"{text[:16]}-{zlib.crc32(text.encode()):x}"
)
def test_nothing_is_left_of_a_loop_that_says_nothing(text: str) -> None:
    assert without_loops(text.strip()) == ""


@pytest.mark.parametrize(
    "text",
    read("no_loops.txt") + read("prose.txt"),
    ids=lambda text: f"{text[:16]}-{zlib.crc32(text.encode()):x}",
)
def test_what_people_repeat_stays(text: str) -> None:
    assert without_loops(text) == text


@pytest.mark.parametrize("text", ["ab", "a ", "猫", "the cat and ", "a.", " ", "aab ", "x y x z "])
def test_long_texts_are_read_quickly(text: str) -> None:
    begun = time.process_time()
    without_loops(text * 50_000)
    without_loops("".join(chr(97 + n * n % 23) + " " * (n % 3) for n in range(50_000)))
    assert time.process_time() - begun < 2
