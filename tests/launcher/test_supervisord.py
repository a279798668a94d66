"""What supervisord is told about the programs."""

import configparser
from pathlib import Path

from launcher.supervisord import write_configuration

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
