"""``holdfast sim``."""
