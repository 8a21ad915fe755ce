"""``python -m holdfast.simulation.records SEED ...`` runs seeded worlds of record streams and says what went wrong."""

from __future__ import annotations

import sys

from .run import main

sys.exit(main(sys.argv[1:]))
