"""`python -m dagstorm_local`: the local stack's command line."""

from __future__ import annotations

import sys

from dagstorm_local.stack.cli import main

sys.exit(main())
