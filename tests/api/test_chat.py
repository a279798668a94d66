"""What our own models use of a chat: the text and the images of the question."""

from typing import Any

import pytest

from api.answering.chat import read_chat
from shared.errors import BadRequest


def user(text: Any = "", *images: str) -> dict[str, Any]:
    return {"role": "user", "content": text, **({"images": list(images)} if images else {})}


ANSWER = {"role": "assistant", "content": "A cat."}
SYSTEM = {"role": "system", "content": "Be brief."}
TOOL = {"role": "tool", "content": "42"}


@pytest.mark.parametrize(
    ("messages", "prompt", "images"),
    [
        pytest.param([user("What?", "a")], "What?", ["a"], id="one-message"),
        pytest.param([SYSTEM, user("What?", "a", "b")], "What?", ["a", "b"], id="two-images"),
        pytest.param([user("What?", "a"), ANSWER, user("Where?")], "Where?", ["a"], id="follow-up"),
        pytest.param(
            [user("1", "a"), ANSWER, user("2"), ANSWER, user("3"), ANSWER, user("4")],
            "4",
            ["a"],
            id="fourth-question",
        ),
        pytest.param(
            [user("1", "a"), ANSWER, user("2", "b"), ANSWER, user("3")],
            "3",
            ["b"],
            id="newest-image",
        ),
        pytest.param([user("1", "a"), ANSWER, user("2", "b")], "2", ["b"], id="new-image"),
        pytest.param([user("", "a"), user("What?")], "What?", ["a"], id="image-then-text"),
        pytest.param([user("What?"), user("", "a")], "What?", ["a"], id="text-then-image"),
        pytest.param(
            [user("This:", "a"), user("or this?", "b")], "This:\nor this?", ["a", "b"], id="both"
        ),
        pytest.param(
            [user("old", "z"), ANSWER, user("", "a"), user("new")],
            "new",
            ["a"],
            id="after-an-answer",
        ),
        pytest.param([user("", "a"), ANSWER, user("What?")], "What?", ["a"], id="answered-image"),
        pytest.param([user("What?", "a"), ANSWER], "What?", ["a"], id="ends-with-an-answer"),
        pytest.param([user("What?", "a"), ANSWER, TOOL, user("And?")], "And?", ["a"], id="tool"),
        pytest.param(
            [{**SYSTEM, "images": ["a"]}, user("What?")], "What?", ["a"], id="of-the-system"
        ),
        pytest.param([user("What?")], "What?", [], id="no-image"),
        pytest.param([SYSTEM], "", [], id="no-user"),
        pytest.param([], "", [], id="empty"),
        pytest.param(None, "", [], id="null"),
        pytest.param([user(None, "a"), user()], "", ["a"], id="no-text"),
        pytest.param([{**user("What?"), "images": None}], "What?", [], id="images-null"),
        pytest.param(
            [{**user("What?", "a")}, {**user(), "images": []}], "What?", ["a"], id="images-empty"
        ),
        pytest.param([{"content": "What?", "images": ["a"]}], "", ["a"], id="no-role"),
    ],
)
def test_the_question_and_its_images_are_found(
    messages: Any, prompt: str, images: list[str]
) -> None:
    chat = read_chat(messages)
    assert (chat.prompt, chat.subject) == (prompt, images)


def test_a_server_gets_all_messages_with_their_images_by_number() -> None:
    messages = [SYSTEM, user("1", "a", "b"), ANSWER, {**user("2"), "images": None}, user("3", "c")]
    chat = read_chat(messages)
    assert chat.images == ["a", "b", "c"]
    assert [message.get("images") for message in chat.messages] == [None, [0, 1], None, None, [2]]
    assert [message["content"] for message in chat.messages] == [
        "Be brief.",
        "1",
        "A cat.",
        "2",
        "3",
    ]


@pytest.mark.parametrize("role", [[], {}, 1, None, "tool"])
def test_a_message_of_any_other_role_is_the_users(role: Any) -> None:
    (message,) = read_chat([{"role": role, "content": "What?"}]).conversation
    assert (message.role, message.text) == ("user", "What?")


@pytest.mark.parametrize("messages", [0, False, "", "x", {}, {"role": "user"}, [None], ["x"], [[]]])
def test_what_are_no_messages_is_a_bad_request(messages: Any) -> None:
    with pytest.raises(BadRequest, match="`messages` is not a list of objects"):
        read_chat(messages)


@pytest.mark.parametrize(
    "content", [0, False, 1.5, {}, [], ["What?"], [{"type": "text", "text": "What?"}]]
)
def test_what_is_no_text_is_a_bad_request(content: Any) -> None:
    with pytest.raises(BadRequest, match="`content` of a message is not a string"):
        read_chat([user(content, "a")])


@pytest.mark.parametrize("images", [0, False, True, "", "AAAA", {}, 1.5])
def test_what_are_no_images_is_a_bad_request(images: Any) -> None:
    with pytest.raises(BadRequest, match="`images` of a message is not a list"):
        read_chat([{**user("What?"), "images": images}])
