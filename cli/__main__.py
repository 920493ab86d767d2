"""`python -m paretune.cli` is the same as `paretune`."""

from __future__ import annotations

import sys

from paretune.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
