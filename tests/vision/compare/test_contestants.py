"""Who takes part: models and prompts."""

from pathlib import Path

import pytest

from vision.compare.contestants import chosen_models, contestants, read_prompts
from vision.compare.sampling import sample
from vision.runner.files import Photo
from vision.runner.wanted import CannotRun
from vision.schemas import Model

CHAT = Model(name="chat", tasks=("answer", "caption", "labels"), served=True)
DEAF = Model(name="deaf", tasks=("caption",), served=True, aliases=("old-name",))
JUDGE = Model(name="judge", tasks=("nsfw",), served=True)
ABSENT = Model(name="absent", tasks=("caption",))
MODELS = (CHAT, DEAF, JUDGE, ABSENT)


def prompts(tmp_path: Path, text: str) -> dict[str, str]:
    (tmp_path / "prompts.txt").write_text(text)
    return read_prompts(tmp_path / "prompts.txt")


def test_each_line_is_a_prompt_with_a_name_of_its_own_if_it_has_one(tmp_path: Path) -> None:
    text = "# mine\n\nshort = Say it in five words.\nWhat is it?\nbuilt-in =\nIs a=b in it?\n"
    assert prompts(tmp_path, text) == {
        "short": "Say it in five words.",
        "prompt 2": "What is it?",
        "built-in": "",
        "prompt 4": "Is a=b in it?",
    }
    for wrong, why in (("a = 1\na = 2", "Two prompts"), ("# none", "There is no prompt")):
        with pytest.raises(CannotRun, match=why):
            prompts(tmp_path, wrong)
    with pytest.raises(CannotRun, match="cannot be read"):
        read_prompts(tmp_path / "nowhere")


def test_a_model_takes_part_once_with_each_prompt_for_captions_alone() -> None:
    found, remarks = contestants((CHAT, DEAF, JUDGE), prompts={"a": "What?", "own": ""})
    assert [(one.task, one.name, one.prompt) for one in found] == [
        ("caption", "chat · a", "What?"), ("caption", "chat · own", ""), ("labels", "chat", ""),
        ("caption", "deaf", ""), ("nsfw", "judge", ""),
    ]  # fmt: skip
    assert remarks == ["Models that do not follow prompts were asked once, without any: deaf."]


def test_a_language_is_told_to_those_who_listen() -> None:
    found, (remark,) = contestants((CHAT, DEAF, JUDGE), language="German")
    assert [one.system for one in found] == ["Write everything in German."] * 2 + ["", ""]
    assert remark == "Models that know one language only were not told to write German: deaf."


def test_models_are_named_by_any_name_and_have_to_run() -> None:
    assert chosen_models(MODELS, ["old-name", "deaf", "chat"], ["caption"]) == [DEAF, CHAT]
    assert chosen_models(MODELS, [], ["caption"]) == [CHAT, DEAF]
    for name, why in (("absent", "does not run here"), ("nobody", "There is no model")):
        with pytest.raises(CannotRun, match=why):
            chosen_models(MODELS, [name], ["caption"])
    with pytest.raises(CannotRun, match="No model that runs does caption"):
        chosen_models(MODELS, ["judge"], ["caption"])


def test_the_same_photos_are_drawn_each_time_and_few_others_after_more_came() -> None:
    photos = [Photo(Path(f"/photos/{number}.jpg")) for number in range(300)]
    drawn = sample(photos, 50)
    assert drawn == sample(photos[::-1], 50)
    more = sample([*photos, *(Photo(Path(f"/photos/new/{n}.jpg")) for n in range(30))], 50)
    assert len(set(drawn) & set(more)) > 40
    assert len({photo.path for photo in sample(photos, 999)}) == 300
