"""Which Redis `make run` starts."""

from pathlib import Path

import pytest

from launcher.errors import StartFailed
from launcher.redis_server import redis_program, version


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(path: Path, says: str) -> str:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return str(path)


def test_the_wheel_has_one_that_runs(folder: Path) -> None:
    found = redis_program()
    assert Path(found).name == "valkey-server"
    assert not Path(found).is_relative_to(folder)
    assert version(found) == (9, 1)


def test_one_on_the_path_is_preferred_and_valkey_before_redis(folder: Path) -> None:
    redis = program(folder / "redis-server", "Redis server v=8.0.2 sha=00000000:0 bits=64")
    assert redis_program() == redis
    valkey = program(folder / "valkey-server", "Valkey server v=8.1.1 sha=00000000:0 bits=64")
    assert redis_program() == valkey


@pytest.mark.parametrize("says", ["Redis server v=6.2.22 sha=00000000:0", "no version"])
def test_one_that_is_too_old_or_is_none_is_passed_over(folder: Path, says: str) -> None:
    program(folder / "redis-server", says)
    assert not Path(redis_program()).is_relative_to(folder)


def test_a_machine_without_any_is_told_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "redis-server").write_text("#!/nowhere\n")
    (folder / "redis-server").chmod(0o755)
    monkeypatch.setattr("launcher.redis_server.find_spec", lambda _: None)
    with pytest.raises(StartFailed, match="Install valkey or redis"):
        redis_program()
