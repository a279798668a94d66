"""A worker that is started with something wrong."""

import subprocess
import sys

import pytest

from tests.stack import ROOT, child_environment


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("VISION_CATALOG", "/nowhere.yaml", "cannot read the catalogue /nowhere.yaml"),
        ("VISION_MODELS", "nobody", "There is no model 'nobody'"),
        ("VISION_MODELS", "fake,slow", "A worker serves one model"),
        ("VISION_REDIS_URL", "", "VISION_REDIS_URL is not set: name the Redis to use"),
        ("VISION_REDIS_URL", "rediss://nas/0?ssl_ca_certs=/dev/null", "no file with certificates"),
    ],
)
def test_a_worker_says_in_one_line_what_is_wrong(setting: str, value: str, words: str) -> None:
    right = {"VISION_REDIS_URL": "redis://127.0.0.1:1/0", "VISION_MODELS": "fake"}
    done = subprocess.run(
        [sys.executable, "-m", "workers"], cwd=ROOT, capture_output=True, text=True, check=False,
        env=child_environment(**{**right, setting: value}),
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = (done.stdout + done.stderr).strip().splitlines()
    assert words in line
