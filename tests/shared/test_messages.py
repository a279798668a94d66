import json
import math
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from api.schemas import ModelEcho, VisionReply
from shared.messages import Job, Result, celery_task_name
from shared.options import Options
from shared.tasks import CAPTION, LABELS, NSFW
from shared.tasks.caption import Caption
from shared.tasks.labels import Label
from shared.tasks.nsfw import Nsfw, NsfwStatus
from shared.tasks.registry import Task, task_names

FULL = Result(
    caption=Caption(text="A cat on a sofa", confidence=0.75),
    labels=(
        Label(name="cat", priority=1, confidence=0.5, topicality=1, categories=("animal",)),
        Label(name="sofa", confidence=0),
    ),
    nsfw=(
        Nsfw(
            status=NsfwStatus.UNSAFE,
            score=0.875,
            threshold=0.5,
            drawing=0.125,
            hentai=0,
            neutral=0,
            porn=0.5,
            sexy=0.375,
        ),
        Nsfw(status=NsfwStatus.UNAVAILABLE, reason="The model gave no verdict."),
    ),
)
JOB = Job(
    request_id="3f0c",
    tasks=(CAPTION, LABELS),
    images=("vision:image:1:0", "vision:image:1:1"),
    prompt="Was ist das? 🐈",
    options=Options(temperature=0.5, seed=7, stop=("\n", ".")),
    deadline=1_790_000_000.25,
)
FULL_REPLY = {
    "id": "42",
    "code": 200,
    "model": {"type": "labels", "name": "m", "version": "latest", "resolution": 224},
    "result": {
        "caption": {"text": "A cat on a sofa", "source": "image", "confidence": 0.75},
        "labels": [
            {
                "name": "cat",
                "source": "image",
                "priority": 1,
                "confidence": 0.5,
                "topicality": 1.0,
                "categories": ["animal"],
            },
            {
                "name": "sofa",
                "source": "image",
                "priority": 0,
                "confidence": 0.0,
                "topicality": 0.0,
                "categories": [],
            },
        ],
        "nsfw": [
            {
                "status": "unsafe",
                "score": 0.875,
                "threshold": 0.5,
                "Drawing": 0.125,
                "Hentai": 0.0,
                "Neutral": 0.0,
                "Porn": 0.5,
                "Sexy": 0.375,
            },
            {"status": "unavailable", "reason": "The model gave no verdict."},
        ],
    },
}


def public(result: Result) -> dict[str, Any]:
    """Return a reply's JSON as clients get it."""
    echo = ModelEcho(type=LABELS, name="m", version="latest", resolution=224)
    reply = VisionReply(id="42", model=echo, result=result)
    body: dict[str, Any] = json.loads(reply.model_dump_json(exclude_none=True, by_alias=True))
    return body


def test_a_reply_has_exactly_the_fields_and_types_that_photoprism_parses() -> None:
    assert public(FULL) == FULL_REPLY


def test_counts_are_integers_and_probabilities_are_floats_as_in_go() -> None:
    body = public(FULL)
    cat = body["result"]["labels"][0]

    assert {type(x) for x in (body["code"], body["model"]["resolution"], cat["priority"])} == {int}
    assert {type(x) for x in (cat["confidence"], cat["topicality"])} == {float}
    assert type(body["result"]["nsfw"][0]["Hentai"]) is float


def test_a_task_that_was_not_requested_is_absent_and_no_labels_are_an_empty_list() -> None:
    assert public(Result(labels=()))["result"] == {"labels": []}
    assert public(Result(caption=Caption(text="")))["result"] == {
        "caption": {"text": "", "source": "image"}
    }


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        pytest.param(Label, {"name": "cat", "confidence": None}, id="label-confidence"),
        pytest.param(Label, {"name": "c", "confidence": 1, "topicality": None}, id="topicality"),
        pytest.param(Caption, {"text": "", "confidence": None}, id="caption-confidence"),
        pytest.param(Nsfw, {"status": "safe", "score": None}, id="score"),
        pytest.param(Nsfw, {"status": "safe", "threshold": None}, id="threshold"),
        pytest.param(Nsfw, {"status": "safe", "porn": None}, id="class"),
    ],
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.01, 1.01])
def test_a_probability_is_a_number_from_0_to_1(
    model: type[BaseModel], fields: dict[str, Any], value: float
) -> None:
    field = list(fields)[-1]

    with pytest.raises(ValidationError, match=field):
        model.model_validate({**fields, field: value})


NUMBERS = sorted(set(Options.model_fields) - {"stop"})


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, 0, 0.0, 1, 1.5, -1e300, 1e300, 2**70, 10**9, None])
def test_any_number_is_an_option_and_stays_as_it_was_sent(name: str, value: float | None) -> None:
    job = Job(request_id="r", deadline=1, options=Options.model_validate({name: value}))
    message = json.loads(json.dumps(job.model_dump(mode="json", exclude_defaults=True)))
    received = getattr(Job.model_validate(message).options, name)
    assert (received, type(received)) == (value, type(value))


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["1", "", True, False, [], [1], {}, math.nan, math.inf, 10**400])
def test_what_is_no_number_to_json_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Options.model_validate({name: value})


@pytest.mark.parametrize("value", [1, True, {}, [1], [None], [["a"]], {"a": "b"}, [True]])
def test_stop_words_of_another_type_are_refused_by_name(value: object) -> None:
    with pytest.raises(ValidationError, match="stop"):
        Options.model_validate({"stop": value})


def test_options_of_ollama_that_no_model_here_has_are_ignored() -> None:
    options = Options.model_validate({"num_ctx": 4096, "mirostat": 2, "top_k": 40, "seed": None})

    assert options.known == Options(top_k=40)


@pytest.mark.parametrize(
    "stop", [pytest.param("###", id="word"), pytest.param([".", "\n"], id="list")]
)
def test_stop_words_are_one_word_or_a_list(stop: object) -> None:
    options = Options.model_validate({"stop": stop})

    assert options.stop == (tuple(stop) if isinstance(stop, list) else stop)


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(JOB, id="full"),
        pytest.param(Job(request_id="", tasks=(NSFW,), images=("k",), deadline=1.0), id="least"),
    ],
)
def test_a_job_is_the_same_after_the_queue(job: Job) -> None:
    message = json.dumps(job.model_dump(mode="json", exclude_defaults=True))

    assert Job.model_validate(json.loads(message)) == job


@pytest.mark.parametrize(
    "result", [FULL, Result(), Result(labels=())], ids=["full", "none", "empty"]
)
def test_a_result_is_the_same_after_the_way_back(result: Result) -> None:
    message = json.dumps(result.model_dump(mode="json", exclude_none=True), allow_nan=False)

    assert Result.model_validate(json.loads(message)) == result


def test_images_that_could_not_be_read_have_their_places_in_nsfw_and_none_elsewhere() -> None:
    result = FULL.with_unreadable({0: "It is empty.", 2: "It is cut off.", 4: "It is empty."})

    assert [(verdict.status, verdict.reason) for verdict in result[NSFW]] == [
        (NsfwStatus.UNAVAILABLE, "It is empty."),
        (FULL[NSFW][0].status, None),
        (NsfwStatus.UNAVAILABLE, "It is cut off."),
        (NsfwStatus.UNAVAILABLE, FULL[NSFW][1].reason),
        (NsfwStatus.UNAVAILABLE, "It is empty."),
    ]
    assert (result[CAPTION], result[LABELS]) == (FULL[CAPTION], FULL[LABELS])
    assert FULL.with_unreadable({}) == FULL


@pytest.mark.parametrize(
    ("tasks", "name"),
    [
        ((CAPTION,), "vision.caption"),
        ((LABELS,), "vision.labels"),
        ((NSFW,), "vision.nsfw"),
        ((CAPTION, NSFW), "vision.describe"),
        (task_names(), "vision.describe"),
    ],
)
def test_celery_task_names_are_fixed(tasks: tuple[Task, ...], name: str) -> None:
    assert celery_task_name(Job(request_id="r", tasks=tasks, deadline=0)) == name


def test_stop_words_for_our_own_models_stay_few_and_none_is_empty() -> None:
    words = ["", *(f"word {n}" for n in range(1000)), "word 0", ""]
    options = Options.model_validate({"stop": words, "num_ctx": 1})
    assert options.model_dump(mode="json", exclude_unset=True)["stop"] == words
    assert options.known.stop == tuple(f"word {n}" for n in range(64))
    assert Options(stop="").known.stop == ()


@pytest.mark.parametrize(
    ("fields", "seed"),
    [
        ({}, None),
        ({"seed": -1}, None),
        ({"seed": -1.5}, None),
        ({"seed": 1.9}, 1),
        ({"seed": 0}, 0),
    ],
)
def test_a_seed_is_read_as_ollama_reads_it(fields: dict[str, Any], seed: int | None) -> None:
    options = Options.model_validate({"temperature": 1, **fields})
    assert options.fixed_seed == seed
    job = Job(request_id="r", deadline=1, options=options)
    assert job.is_seeded == (seed is not None)
    cold = options.model_copy(update={"temperature": -1})
    assert not job.model_copy(update={"options": cold}).is_seeded


def test_lone_surrogates_do_not_reach_the_queue() -> None:
    job = Job(request_id="r", deadline=1, prompt="a\ud800b", system="\ud83d\ude00")
    assert (job.prompt, job.system) == ("ab", "😀")
    assert Options.model_validate({"stop": ["\udc00x", "y"]}).stop == ("x", "y")
    job.model_dump_json().encode()
