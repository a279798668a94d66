"""What a request needs, by its header."""

import pytest
from flask import Flask

from api import create_app
from api.front.triage import DOCUMENTS, IN_SLOT, WITH_SMALL_BODY, WITHOUT_WAITING, Needs, triage
from shared.settings import Settings


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings(redis_url="redis://127.0.0.1:1/0", api_keys=("key",))


@pytest.fixture(scope="module")
def app(settings: Settings) -> Flask:
    return create_app(settings)


def test_each_endpoint_with_a_need_of_its_own_exists(app: Flask) -> None:
    named = DOCUMENTS | IN_SLOT | WITH_SMALL_BODY | WITHOUT_WAITING
    assert app.view_functions.keys() >= named


@pytest.mark.parametrize(
    ("path", "needs"),
    [
        ("/livez", Needs.NOTHING),
        ("/nothing", Needs.NOTHING),
        ("/api/v1/vision/models", Needs.NOTHING),  # it is refused: there is no key
        ("/v1/models", Needs.NOTHING),
        ("/v1/models/some/model", Needs.NOTHING),
        ("/metrics", Needs.THREAD),
        ("/readyz", Needs.THREAD),
        ("/", Needs.FILE),
        ("/page/page.js", Needs.FILE),
        ("/docs", Needs.FILE),
        ("/docs/static/swagger-ui-bundle.js", Needs.FILE),
        ("/openapi.json", Needs.FILE),
        ("/docs/openapi.json", Needs.FILE),
    ],
)
def test_what_a_request_needs(app: Flask, settings: Settings, path: str, needs: Needs) -> None:
    with app.test_request_context(path) as context:
        assert triage(app, settings, context.request.environ).needs is needs
