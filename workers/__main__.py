"""``python -m workers [MODEL]``: serve one model.

Imports are inside the function, because spawned processes import this module as well.
"""

import sys


def main() -> None:
    """Start a worker for the model named on the command line or in ``VISION_MODELS``."""
    from shared.settings import get_settings
    from workers.consumer.app import serve

    try:
        settings = get_settings()
    except ValueError as err:
        sys.exit(str(err))
    names = tuple(sys.argv[1:]) or settings.models
    if len(names) != 1:
        sys.exit(
            "A worker serves one model: name it (`python -m workers blip`) or set VISION_MODELS to "
            f"one name. Got: {', '.join(names) or 'none'}."
        )
    serve(settings, names[0])


if __name__ == "__main__":
    main()
