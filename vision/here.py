"""What is on this machine, where that is the service's own: checkout, packages, logs."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUN_FOLDER = ".run"
"""Where ``make run`` keeps the logs, by the port of the API."""


def checkout() -> Path | None:
    """Return the folder of the service's code, if this command lies in it."""
    return ROOT if (ROOT / "workers" / "model" / "weights.py").is_file() else None


def worker_python() -> Path | None:
    """Return a Python that has what a worker needs, if there is one."""
    if not checkout():
        return None
    if importlib.util.find_spec("huggingface_hub") and importlib.util.find_spec(
        "pydantic_settings"
    ):
        return Path(sys.executable)
    own = ROOT / ".venv" / "bin" / "python"
    return own if own.is_file() else None


def logs(port: int) -> list[Path]:
    """Return the logs of a service that ``make run`` has started here, by its API's port."""
    return sorted((ROOT / RUN_FOLDER / str(port)).glob("*.log"))
