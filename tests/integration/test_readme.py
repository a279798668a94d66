"""The reply that README.md shows is the one that the default models give."""

import json
import re
from typing import Any

import pytest
import requests

from shared.settings import ROOT
from tests.stack import API, Stack


def rounded(value: Any) -> Any:
    """The value with room for what another processor computes."""
    match value:
        case float():
            return pytest.approx(value, abs=0.005)
        case dict():
            return {key: rounded(item) for key, item in value.items()}
        case list():
            return [rounded(item) for item in value]
    return value


def test_the_reply_in_the_readme_is_true(stack: Stack, api: str, cat: bytes) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^```json\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert found
    shown = json.loads(found[1])
    for model in ("efficientnet-lite0", "opennsfw"):
        stack.worker(model)

    reply = requests.post(api + API, files={"images": cat}, timeout=60).json()

    assert {**reply, "id": shown["id"]} == rounded(shown)
    assert list(reply) == list(shown)
