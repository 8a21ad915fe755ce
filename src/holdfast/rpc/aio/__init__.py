"""Connections on an event loop."""
