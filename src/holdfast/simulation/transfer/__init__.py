"""One stream from a generator, through a delivery pipe, to a verifier: what it came to, and how fast."""
