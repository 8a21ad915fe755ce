"""Durable Streams: append-only streams under paths, created, forked, closed and expired by their users."""
