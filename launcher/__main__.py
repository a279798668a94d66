"""``python -m launcher``, the command behind ``make run``."""

import sys

from launcher.run_stack import main

if __name__ == "__main__":
    sys.exit(main())
