"""Logs on JetStream: one stream for all of them, and a book in memory for each."""
