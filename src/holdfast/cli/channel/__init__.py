"""``holdfast channel``."""
