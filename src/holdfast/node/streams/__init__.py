"""Durable streams in a node: channels and the output of jobs among them."""
