"""What is decided about sessions: pure, without a clock, and done by the ``shell``."""
