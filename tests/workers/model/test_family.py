import pytest

from shared.messages import Result
from shared.tasks import ANSWER, CAPTION, LABELS, NSFW
from shared.tasks.answer import Answer as FreeAnswer
from shared.tasks.caption import Caption
from shared.tasks.labels import Label, merge_labels
from shared.tasks.nsfw import Nsfw, NsfwStatus
from shared.tasks.registry import task_names
from workers.model.family import Answer, combine

SAFE = Nsfw(status=NsfwStatus.SAFE, score=0.1, threshold=0.5)
UNSAFE = Nsfw(status=NsfwStatus.UNSAFE, score=0.9, threshold=0.5)


def answer(
    text: str = "", labels: dict[str, float] | None = None, nsfw: Nsfw | None = None
) -> Answer:
    found = tuple(
        Label(name=name, confidence=confidence) for name, confidence in (labels or {}).items()
    )
    given = {CAPTION: Caption(text=text) if text else None, LABELS: found, NSFW: nsfw}
    return {task: payload for task, payload in given.items() if payload is not None}


def confidences(labels: tuple[Label, ...]) -> list[tuple[str, float]]:
    return [(label.name, label.confidence) for label in labels]


def test_the_caption_is_that_of_the_first_image() -> None:
    result = combine([answer("a cat"), answer("a dog")], [CAPTION])

    assert result == Result({CAPTION: Caption(text="a cat")})


def test_labels_of_all_crops_are_one_list_with_the_most_confident_first() -> None:
    crops = [
        answer(labels={"cat": 0.3, "sofa": 0.6}),
        answer(labels={"cat": 0.8}),
        answer(labels={"Sofa": 0.5, "lamp": 0.7}),
    ]

    result = combine(crops, [LABELS])

    assert confidences(result[LABELS]) == [("cat", 0.8), ("lamp", 0.7), ("sofa", 0.6)]


def test_merging_keeps_all_fields_of_the_most_confident_label() -> None:
    weak = Label(name="cat", confidence=0.2, topicality=1, categories=("animal",), priority=1)
    strong = Label(name="Cat", confidence=0.9, topicality=0.5, categories=("pet",), priority=-2)

    assert merge_labels([weak, strong]) == (strong,)


@pytest.mark.parametrize(
    ("tabby", "cat", "names"),
    [(0.8, 0.95, ["tabby cat"]), (0.6, 0.95, ["cat"]), (0.9, 0.3, ["tabby cat"])],
    ids=["sure", "unsure", "surer"],
)
def test_a_category_and_what_is_below_it_are_one_label_of_the_crops(
    tabby: float, cat: float, names: list[str]
) -> None:
    special = Label(name="tabby cat", confidence=tabby, categories=("cat", "animal"))
    kind = Label(name="cat", confidence=cat, categories=("animal",))

    result = combine([{LABELS: (special,)}, {LABELS: (kind,)}], [LABELS])

    assert [label.name for label in result[LABELS]] == names


def test_of_labels_that_are_each_others_category_the_more_confident_one_stays() -> None:
    people = Label(name="people", confidence=0.9, categories=("portrait",))
    portrait = Label(name="portrait", confidence=0.8, categories=("people",))

    assert combine([{LABELS: (portrait,)}, {LABELS: (people,)}], [LABELS])[LABELS] == (people,)


def test_labels_of_one_image_stay_as_the_model_gave_them() -> None:
    given = (
        Label(name="dog", confidence=0.9, categories=("animal",)),
        Label(name="animal", confidence=0.8),
    )

    assert combine([{LABELS: given}], [LABELS])[LABELS] == given


def test_merging_keeps_the_first_of_equally_confident_labels() -> None:
    centre, left = (Label(name=name, confidence=0.5) for name in ("cat", "CAT"))

    assert merge_labels([centre, left]) == (centre,)


def test_equally_confident_labels_keep_their_order() -> None:
    labels = [Label(name=name, confidence=0.5) for name in ("b", "a", "c")]

    assert merge_labels(labels) == tuple(labels)


@pytest.mark.parametrize(
    "verdicts",
    [
        pytest.param([SAFE], id="one"),
        pytest.param([SAFE, UNSAFE, SAFE], id="three"),
        pytest.param([SAFE, SAFE], id="equal-ones-are-not-merged"),
    ],
)
def test_nsfw_has_one_entry_per_image_in_order(verdicts: list[Nsfw]) -> None:
    result = combine([answer(nsfw=verdict) for verdict in verdicts], [NSFW])

    assert result[NSFW] == tuple(verdicts)


def test_an_image_without_verdict_is_unavailable_and_never_safe() -> None:
    result = combine([answer(nsfw=SAFE), answer()], [NSFW])

    assert result[NSFW][0] == SAFE
    assert result[NSFW][1].status == NsfwStatus.UNAVAILABLE
    assert result[NSFW][1].reason


@pytest.mark.parametrize("task", task_names())
def test_only_requested_tasks_are_in_the_result(task: str) -> None:
    complete = {**answer("a cat", {"cat": 0.9}, SAFE), ANSWER: FreeAnswer(text="Yes.")}

    result = combine([complete], [task])

    assert set(result.model_dump(exclude_none=True)) == {task}


def test_all_tasks_can_be_requested_at_once() -> None:
    result = combine([answer("a cat", {"cat": 0.9}, SAFE)], task_names())

    assert result[CAPTION] == Caption(text="a cat")
    assert confidences(result[LABELS]) == [("cat", 0.9)]
    assert result[NSFW] == (SAFE,)


def test_no_labels_are_an_empty_list_and_not_absent() -> None:
    assert combine([answer("a cat")], [LABELS])[LABELS] == ()
