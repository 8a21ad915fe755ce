"""``holdfast session``."""
