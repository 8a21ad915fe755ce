"""Worlds of streams: many at once over one connection that breaks, each checked after every event."""
