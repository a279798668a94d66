"""Files that come with Python packages, which are not imported for that."""

import importlib.util
from pathlib import Path

from workers.model.family import LoadError


def package_folder(name: str) -> Path:
    """Return the folder of an installed package.

    Raises:
        LoadError: it is not installed.
    """
    package = importlib.util.find_spec(name)
    if package is None or package.origin is None:
        raise LoadError(f"The package {name} is not installed: pip install {name}")
    return Path(package.origin).parent
