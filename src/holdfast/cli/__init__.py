"""The ``holdfast`` command, a module for each noun or verb."""
