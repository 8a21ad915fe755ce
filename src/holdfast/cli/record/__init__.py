"""``holdfast record``."""
