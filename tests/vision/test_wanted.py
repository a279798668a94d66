"""What a run asks about each photo, of which models, and how much of that at once."""

import pytest

from vision.runner.capacity import capacity
from vision.runner.gate import MOST
from vision.runner.wanted import CannotRun, Wanted
from vision.runner.work import Question
from vision.schemas import Model, Worker

UP = Worker(worker="w", state="ready", consuming=True, max_batch=4)
CHAT = Model(
    name="chat", version="2b", tasks=("answer", "caption", "labels"), served=True, workers=(UP,)
)
JUDGE = Model(name="judge", tasks=("nsfw",), default_for=("nsfw",), served=True, workers=(UP, UP))
ABSENT = Model(name="absent", tasks=("caption",), default_for=("caption",))
OLLAMA = Model(name="ollama", family="ollama", tasks=("answer", "caption", "labels", "nsfw"))
MODELS = (ABSENT, CHAT, JUDGE, OLLAMA)


def wanted(*, tasks: str = "", models: str = "", language: str = "") -> list[Question]:
    return Wanted(tuple(tasks.split()), tuple(models.split()), "", language).questions(MODELS)


def test_without_a_task_the_models_that_run_are_asked_what_they_do() -> None:
    assert [(q.task, q.model) for q in wanted()] == [
        ("caption", "chat"), ("labels", "chat"), ("nsfw", "judge"),
    ]  # fmt: skip
    assert [(q.task, q.model) for q in wanted(models="judge")] == [("nsfw", "judge")]


def test_a_default_that_is_being_loaded_is_waited_for_and_one_that_does_not_run_is_told() -> None:
    loading = Worker(worker="w", state="loading")
    models = [ABSENT.model_copy(update={"workers": (loading,)}), CHAT, JUDGE]
    options = Wanted((), (), "", "")
    questions = options.questions(models)
    assert [(q.task, q.model) for q in questions] == [
        ("caption", "absent"), ("labels", "chat"), ("nsfw", "judge"),
    ]  # fmt: skip
    assert options.remarks(models, questions) == []
    nobody_else = options.questions(models[:1])
    assert [(q.task, q.model) for q in nobody_else] == [("caption", "absent")]
    assert options.remarks(MODELS, wanted()) == [
        "absent, the default for caption, does not run here: chat is asked instead."
    ]


def test_a_task_that_is_named_is_asked_of_the_first_model_that_does_it() -> None:
    assert [q.model for q in wanted(tasks="nsfw caption", models="chat judge")] == ["judge", "chat"]
    with pytest.raises(CannotRun, match="judge cannot do caption"):
        wanted(tasks="caption", models="judge")


def test_a_language_is_told_to_models_that_chat_and_to_no_others() -> None:
    (caption, nsfw) = wanted(tasks="caption nsfw", language="German")
    assert caption.body("", "key")["system"] == "Write everything in German."
    assert "system" not in nsfw.body("", "key")
    with pytest.raises(CannotRun, match="absent knows one language only"):
        wanted(tasks="caption", models="absent", language="German")


def test_models_of_ollama_are_passed_on_where_its_worker_runs() -> None:
    hosts = ({"up": True, "parallel": 3}, {"up": False, "parallel": 9})
    worker = Worker(worker="o", state="ready", consuming=True, hosts=hosts)
    models = (*MODELS[:3], OLLAMA.model_copy(update={"served": True, "workers": (worker,)}))
    (question,) = Wanted(("caption",), ("gemma3:4b",), "", "").questions(models)
    assert (question.model, question.version) == ("gemma3", "4b")
    assert capacity(models, [question]) == 6
    with pytest.raises(CannotRun, match="There is no model 'gemma3:4b'"):
        wanted(tasks="caption", models="gemma3:4b")


def test_as_many_are_in_flight_as_all_workers_of_the_models_can_take() -> None:
    assert capacity(MODELS, wanted(tasks="caption")) == 8
    assert capacity(MODELS, wanted(tasks="nsfw")) == 16
    assert capacity(MODELS, wanted(tasks="caption", models="absent")) == 2
    failed = UP.model_copy(update={"state": "failed"})
    for workers, most in (((UP, failed), 8), ((UP,) * 99, MOST)):
        models = [CHAT.model_copy(update={"workers": workers})]
        assert capacity(models, wanted(tasks="caption")) == most
