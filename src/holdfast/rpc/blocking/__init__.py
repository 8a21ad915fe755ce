"""Connections that wait in their calls."""
