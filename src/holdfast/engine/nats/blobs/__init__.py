"""Blobs on JetStream: a stream of their own, and an index in memory of what is where in it."""
