"""What ``make run`` looks at before it starts anything."""

import errno
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from launcher import run_stack
from launcher.errors import StartFailed
from launcher.ports import LOOPBACK, free_port
from shared.model_spec import ModelSpec
from shared.redis import deadline
from shared.redis.presence import Presence, Presences
from shared.settings import Settings
from shared.start import check_files
from tests.stack import Stack


@pytest.mark.parametrize(
    ("reason", "port", "words"),
    [
        (errno.EADDRINUSE, 80, "port 80 on 10.0.0.1 is taken, .* VISION_PORT=81 make run"),
        (errno.EADDRINUSE, 65535, "port 65535 on 10.0.0.1 is .* VISION_PORT=65534 make run"),
        (errno.EACCES, 80, "only root may use port 80, .* VISION_PORT=5080 make run"),
        (errno.EADDRNOTAVAIL, 80, "the API cannot listen on 10.0.0.1 .* VISION_HOST must be"),
    ],
)
def test_what_keeps_the_api_from_listening_is_said_with_the_setting_to_change(
    monkeypatch: pytest.MonkeyPatch, reason: int, port: int, words: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(reason, "as the kernel says")

    monkeypatch.setattr(run_stack, "try_to_bind", refuse)

    with pytest.raises(StartFailed, match=words):
        run_stack.check(Settings(host="10.0.0.1", port=port))


@pytest.mark.parametrize("host", ["nobody.invalid", "192.0.2.7", "[::1]"])
def test_a_host_that_is_not_here_is_no_port_that_is_taken(host: str) -> None:
    with pytest.raises(StartFailed, match=r"cannot listen on .* VISION_HOST must be an"):
        run_stack.check(Settings(host=host))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("ssl_unknown=1", "VISION_REDIS_URL cannot be used: .*ssl_unknown"),
        ("ssl_cert_reqs=CERT_REQUIRED", "VISION_REDIS_URL cannot be used: .*CERT_REQUIRED"),
        ("ssl_min_version=new", "VISION_REDIS_URL cannot be used: .*ssl_min_version"),
        ("ssl_certfile=missing.crt", "names a file in ssl_certfile that cannot be read: missing"),
        ("ssl_ca_certs=missing.crt", "names a file in ssl_ca_certs that cannot be read: missing"),
        ("ssl_ca_certs=/dev/null", "no file with certificates in ssl_ca_certs: /dev/null"),
        ("ssl_ca_certs=/dev", "no file with certificates in ssl_ca_certs: /dev .* a directory"),
    ],
)
def test_what_is_wrong_with_the_options_of_the_url_of_redis_is_said(
    options: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        run_stack.check(Settings(redis_url=f"rediss://:secret@nas:6379/0?{options}"))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("part", "answer"),
    [("user:secret@{}/0", "WRONGPASS"), ("{}/99", "ERR DB index is out of range")],
)
def test_what_redis_refuses_is_said_as_its_answer(stack: Stack, part: str, answer: str) -> None:
    address = stack.redis_url.removeprefix("redis://").partition("/")[0]

    with pytest.raises(StartFailed, match=f"cannot be used. Redis refuses: {answer}") as told:
        run_stack.check(Settings(redis_url=f"redis://{part.format(address)}"))
    assert "secret" not in str(told.value)


def test_a_redis_that_does_not_answer_is_not_waited_for() -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        url = f"redis://{LOOPBACK}:{silent.getsockname()[1]}/0"
        with pytest.raises(StartFailed, match="names a Redis that does not answer"):
            run_stack.check(Settings(redis_url=url))


def test_a_redis_that_is_far_away_may_take_its_time_for_each_model(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    late_s, ask = 0.0, Presences.of

    def slowly(presences: Presences, spec: ModelSpec) -> Presence:
        nonlocal late_s
        presence = ask(presences, spec)
        late_s += 0.4 * run_stack.REDIS_S
        return presence

    monkeypatch.setattr(Presences, "of", slowly)
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + late_s)
    monkeypatch.setattr(deadline, "time", clock)

    models = ("efficientnet-lite0", "opennsfw", "smolvlm2", "blip", "kosmos-2")
    run_stack.check(
        Settings(
            redis_url=stack.redis_url, models=models, port=free_port(), flower_port=free_port()
        )
    )


@pytest.mark.parametrize(
    ("setting", "value"), [("VISION_CA_BUNDLE", "/nowhere"), ("VISION_MODELS", "nobody")]
)
def test_what_settings_name_is_looked_for_before_anything_starts(setting: str, value: str) -> None:
    settings = Settings.model_validate({setting.removeprefix("VISION_").lower(): value})

    with pytest.raises(ValueError, match=f"^{setting}: .*{value}"):
        run_stack.check(settings)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (65535, "from VISION_METRICS_PORT=65535 on, and none is left for opennsfw"),
        (4999, "from VISION_METRICS_PORT=4999 on, and that of opennsfw would be VISION_PORT"),
        (5001, "and that of efficientnet-lite0 would be VISION_FLOWER_PORT"),
    ],
)
def test_each_worker_needs_a_port_of_its_own_for_metrics(first: int, words: str) -> None:
    with pytest.raises(StartFailed, match=words):
        run_stack.check(Settings(port=5000, flower_port=5001, metrics_port=first))


def test_a_port_of_metrics_that_is_taken_is_said_with_the_setting_to_change() -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        taken = other.getsockname()[1]
        words = f"port {taken} on .* the worker of efficientnet-lite0 .* VISION_METRICS_PORT="
        settings = Settings(port=free_port(), flower_port=free_port(), metrics_port=taken)
        with pytest.raises(StartFailed, match=words):
            run_stack.check(settings)


def test_weights_cannot_lie_in_or_below_a_file(tmp_path: Path) -> None:
    file = tmp_path / "models"
    file.touch()
    for path in (file, file / "below"):
        words = f"VISION_MODELS_DIR must name a folder that can be read, and {path} is none .Not a"
        with pytest.raises(StartFailed, match=words):
            run_stack.check(Settings(models_dir=path))


def test_a_folder_of_certificates_needs_names_by_which_they_are_found(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    settings = Settings(ca_bundle=str(tmp_path))
    with pytest.raises(ValueError, match=f"^VISION_CA_BUNDLE: .* Run `openssl rehash {tmp_path}`"):
        check_files(settings)
    (tmp_path / "5ed36f99.0").symlink_to("ca.pem")
    check_files(settings)
