"""What a person does on the page, and sees there."""

from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.conftest import plain
from tests.stack import SAMPLES

MODELS = ("fake", "efficientnet-lite0", "opennsfw")
CAT, COFFEE = (
    FilePayload(name=name, mimeType="image/jpeg", buffer=(SAMPLES / name).read_bytes())
    for name in ("cat.jpg", "coffee.jpg")
)


def choose(page: Page, task: str, *models: str) -> None:
    """Select a task and these models only."""
    expect(page.get_by_role("checkbox").first).to_be_visible()  # the service has told its models
    page.get_by_role("radio", name=task, exact=True).check()
    for box in page.get_by_role("checkbox").all():
        box.set_checked(box.get_attribute("value") in models)


def answer(page: Page, model: str) -> Locator:
    """The answer of a model to the newest photo."""
    card = page.locator(".photo").first.get_by_role("group", name=f"{model} says", exact=True)
    expect(card).to_have_attribute("aria-busy", "false")
    return card


def add(page: Page, *photos: FilePayload) -> None:
    page.get_by_label("Choose photos").set_input_files(photos)


def picture(red: int, name: str = "red.png") -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": plain(red)}
