"""Connections that wait in their calls, and one that a loop of selectors drives."""
