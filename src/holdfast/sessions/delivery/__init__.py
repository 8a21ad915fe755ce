"""From the ``router``, or read from a durable source, through the session's buffer to its client."""
