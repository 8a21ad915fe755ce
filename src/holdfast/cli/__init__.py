"""The ``holdfast`` command, a module for each noun or verb."""

import gc

gc.set_threshold(50_000, 20, 100)  # what a start makes stays; looking for garbage in it took 3 ms of each command
