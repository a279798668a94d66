"""How a free answer is read: in the form in which it is written, without endless repetition."""

import pytest

from workers.llm.lenient_parsing import UnusableAnswer
from workers.llm.tasks.answer import read_answer

FORMS = {
    "table": "Two pets:\n\n| pet | colour | age |\n| --- | --- | --- |\n| dog | red | 2 |\n\nDone.",
    "rule": f"A dog\n{'-' * 40}\n\nIt sits.\n\n{'=' * 40}\n\nA cat sits, too.",
    "code": "```python\nx = [0, 0, 0, 0, 0, 0]\nprint(x)\n```\n\nIt prints six zeros.",
    "matrix": "The board is:\n\n0 0 0 0 0\n0 1 0 0 0\n0 0 0 0 0",
    "list": "\n".join(f"{n}. **Person {n}** wears a red hat and a blue coat" for n in range(1, 21)),
    "rows": "pet,colour,age\n" + "\n".join(f"dog,brown,{n}" for n in range(30)),
    "chorus": "Row, row, row your boat,\nMerrily, merrily, merrily, merrily,\nMerrily, merrily,",
    "indented": "def sit():\n    while True:\n        pass\n\n\ndef stand():\n    pass",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_an_answer_keeps_its_form(text: str) -> None:
    assert read_answer(text).text == text


def test_an_answer_that_is_a_block_of_code_alone_is_its_content() -> None:
    assert read_answer("```python\nx = 1\n```").text == "x = 1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A cat sits on a mat. " * 40, "A cat sits on a mat."),
        (FORMS["table"] + "\n\nA cat " + "and a dog " * 90, FORMS["table"] + "\n\nA cat and a dog"),
        ("Pets:\n\n- a cat\n" + "- a dog that runs\n" * 30, "Pets:\n\n- a cat\n- a dog that runs"),
        ("一只猫坐在垫子上。" * 30, "一只猫坐在垫子上。"),
    ],
    ids=["sentence", "behind-a-table", "lines", "chinese"],
)  # fmt: skip
def test_endless_repetition_is_cut_and_what_comes_before_stays(text: str, said: str) -> None:
    assert read_answer(text).text == said


@pytest.mark.parametrize("text", ["", "<think>Hm.", "cat " * 300, "哈" * 200, "-" * 900])
def test_nothing_but_repetition_is_no_answer(text: str) -> None:
    with pytest.raises(UnusableAnswer, match="only repeated itself"):
        read_answer(text)
