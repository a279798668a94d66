"""OpenAI's official client, for the API of a stack with our own models and Ollama's."""

from collections.abc import Iterator

import openai
import pytest

from tests.stack import Stack


@pytest.fixture(scope="module")
def base(stack_with_ollama: Stack) -> str:
    return stack_with_ollama.api(VISION_API_KEYS="sesame", VISION_URL_ALLOW="127.0.0.0/8")


@pytest.fixture
def client(base: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{base}/v1", api_key="sesame", max_retries=0) as ready:
        yield ready
