"""The virtual environment of the peers: their packages, on top of those of this one.

What this one has, torch above all, is found through a ``.pth`` file and not installed again.
"""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from shared.settings import ROOT

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
FOLDER = ROOT / ".run" / "peers"


def ensure_environment() -> Path:
    """Install the peers' packages unless they are there; return the folder of its programs."""
    programs, done = FOLDER / "bin", FOLDER / "installed.txt"
    wanted = REQUIREMENTS.read_text()
    if done.is_file() and done.read_text() == wanted:
        return programs
    venv.create(FOLDER, with_pip=True, clear=True)
    paths = {"base": str(FOLDER), "platbase": str(FOLDER)}
    packages = Path(sysconfig.get_path("purelib", vars=paths))
    (packages / "main.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [str(programs / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True, stdout=sys.stderr)
    done.write_text(wanted)
    return programs
