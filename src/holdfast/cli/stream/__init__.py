"""``holdfast stream``."""
