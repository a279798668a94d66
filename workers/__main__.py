"""``python -m workers [MODEL]``: serve one model.

Imports are inside the function, because spawned processes import this module as well.
"""

import sys


def main() -> None:
    """Start a worker for the model named on the command line or in ``VISION_MODELS``."""
    from shared.catalog import Catalog
    from shared.errors import NotOffered
    from shared.families import OLLAMA
    from shared.redis.connection import connect
    from shared.settings import get_settings
    from workers.remote.config import check_rows

    try:
        settings = get_settings()
        names = tuple(sys.argv[1:]) or settings.models
        if len(names) != 1:
            sys.exit(
                "A worker serves one model: name it (`python -m workers blip`) or set "
                f"VISION_MODELS to one name. Got: {', '.join(names) or 'none'}."
            )
        catalog = Catalog.load(settings.catalog)
        spec = catalog.get(catalog.get(names[0]).queue_owner)
        if spec.family == OLLAMA:
            check_rows(catalog)
        connect(settings.broker_url)  # reads the URL, and connects to nothing yet
    except (NotOffered, ValueError) as err:
        sys.exit(str(err))

    from workers.consumer.app import serve  # Celery, which takes a second

    serve(settings, catalog, spec)


if __name__ == "__main__":
    main()
