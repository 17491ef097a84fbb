"""`python -m clslab`: see `clslab.cli`."""

import sys

from clslab.cli import main

if __name__ == "__main__":
    sys.exit(main())
