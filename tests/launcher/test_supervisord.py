"""What supervisord is told about the programs."""

import configparser
from pathlib import Path

import pytest
import yaml

from launcher.errors import StartFailed
from launcher.supervisord import service_programs, start, stop_timeouts, write_configuration
from shared.settings import ROOT, Settings

A_YEAR_S = 365 * 24 * 3600


def test_a_program_that_cannot_start_is_tried_for_longer_than_any_fault_lasts(
    tmp_path: Path,
) -> None:
    path = tmp_path / "supervisord.conf"
    write_configuration(path, {"worker-blip": ["false"]})
    config = configparser.RawConfigParser()
    config.read(path)
    retries = config.getint("program:worker-blip", "startretries")
    # supervisord waits a second longer before each try than before the last one.
    assert retries * (retries + 1) / 2 > A_YEAR_S


def test_the_api_is_not_killed_before_its_requests_had_their_time_and_flower_is_soon(
    tmp_path: Path,
) -> None:
    path = tmp_path / "supervisord.conf"
    settings = Settings(stop_grace_s=120)
    write_configuration(path, service_programs(settings), stop_timeouts(settings))
    config = configparser.RawConfigParser()
    config.read(path)
    assert config.getint("program:api", "stopwaitsecs") > 120
    assert config.getint("program:flower", "stopwaitsecs") < 5
    assert config.getint("program:worker-opennsfw", "stopwaitsecs") == 30


def test_a_folder_that_cannot_be_written_to_is_said_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(StartFailed, match=r"run/5000 cannot be written to \(Not a directory\)"):
        start(Settings(), tmp_path / "run" / "5000")


def test_flower_remembers_as_many_tasks_as_in_compose() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    limit = compose["services"]["flower"]["environment"]["FLOWER_MAX_TASKS"]
    assert f"--max_tasks={limit}" in service_programs(Settings())["flower"]
