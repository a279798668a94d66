"""What supervisord is told about the programs."""

import configparser
from pathlib import Path

import yaml

from launcher.supervisord import service_programs, write_configuration
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


def test_flower_remembers_as_many_tasks_as_in_compose() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    limit = compose["services"]["flower"]["environment"]["FLOWER_MAX_TASKS"]
    assert f"--max_tasks={limit}" in service_programs(Settings())["flower"]
