"""``python -m holdfast.simulation.streams SEED ...`` runs seeded worlds of streams and says what went wrong."""

from __future__ import annotations

import sys

from .run import main

sys.exit(main(sys.argv[1:]))
