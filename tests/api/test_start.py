"""An API process that is started with a wrong setting."""

import subprocess
import sys

import pytest

from tests.stack import ROOT, child_environment

GUNICORN = [
    sys.executable, "-m", "gunicorn", "-c", "python:api.gunicorn_conf", "api.wsgi:application",
]  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("VISION_CA_BUNDLE", "/nowhere", "no CA certificates can be read from '/nowhere'"),
        ("VISION_MODELS", "nobody", "There is no model 'nobody'"),
        ("VISION_REDIS_URL", "", "is not set: name the Redis to use"),
    ],
)
def test_the_api_says_in_one_line_what_is_wrong_and_starts_no_process(
    setting: str, value: str, words: str
) -> None:
    right = {"VISION_REDIS_URL": "redis://127.0.0.1:1/0", "VISION_MODELS": "fake"}
    done = subprocess.run(
        GUNICORN, cwd=ROOT, env=child_environment(**{**right, setting: value}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = (done.stdout + done.stderr).strip().splitlines()
    assert line.startswith(f"Error: {setting}")
    assert words in line
