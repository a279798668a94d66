"""``python -m vision``, the same as the command ``vision``."""

from vision.main import main

if __name__ == "__main__":
    main()
