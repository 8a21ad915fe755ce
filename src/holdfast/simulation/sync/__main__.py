"""``python -m holdfast.simulation.sync SEED ...`` runs seeded worlds of groups and says what went wrong."""

from __future__ import annotations

import sys

from .run import main

sys.exit(main(sys.argv[1:]))
