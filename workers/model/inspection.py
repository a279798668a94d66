"""``python -m workers.model.inspection [MODEL…]``: whether weights are there, or could be fetched.

It prints JSON for ``vision doctor``, and fetches nothing. Names that are not in the catalogue are
left out: the service may have another one.
"""

import json
import sys
from pathlib import Path

from pydantic import BaseModel, Field

from shared.catalog import Catalog
from shared.errors import NotOffered
from shared.model_spec import ModelSpec
from shared.settings import get_settings
from workers.model import hub
from workers.model.checkpoint import describe
from workers.model.download_errors import explain
from workers.model.family import LoadError
from workers.model.weights import find_weights_faults


class Inspected(BaseModel):
    """What there is of a model's weights."""

    missing: str = Field("", description="what is missing or damaged; empty: nothing")
    obstacle: str = Field("", description="why it cannot be fetched; empty: it can")


def inspect(spec: ModelSpec, models_dir: Path) -> Inspected:
    """Look for a model's weights on disk and, if they are not all there, at the hub."""
    if not (spec.source or spec.files):
        return Inspected()  # they are in a Python package, or on another server
    folder = models_dir / spec.folder
    try:
        faults = find_weights_faults(spec, folder)
    except LoadError as err:
        return Inspected(missing=folder.name, obstacle=str(err))
    missing = describe(faults) if faults else ""
    return Inspected(missing=missing, obstacle=_obstacle(spec, folder) if missing else "")


def _obstacle(spec: ModelSpec, folder: Path) -> str:
    """Return why the hub does not give a model's files; empty: it does."""
    import httpx2

    if not spec.source:
        return f"Put the file there, or name a repository as `source` in the row of {spec.name}."
    try:
        hub.check_access(hub.look_up(spec))
    except LoadError as err:
        return str(err)
    except (OSError, httpx2.HTTPError) as err:
        return str(explain(err, spec, folder))
    return ""


def _main(argv: list[str]) -> None:
    try:
        settings = get_settings()
        catalog = Catalog.load(settings.catalog)
        wanted = [spec for spec in catalog.models if spec.name in argv]
        specs = wanted if argv else map(catalog.get, settings.models)
        models = {spec.name: inspect(spec, settings.models_dir).model_dump() for spec in specs}
    except (NotOffered, ValueError) as err:
        sys.exit(str(err))
    print(json.dumps({"folder": str(settings.models_dir), "models": models}))  # noqa: T201


if __name__ == "__main__":
    _main(sys.argv[1:])
