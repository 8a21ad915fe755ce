"""Holdfast: start it, walk away, come back; nothing was lost."""
