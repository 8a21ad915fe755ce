"""Calls, events and streams over one connection: a sans-I/O core, and shells for asyncio, blocking sockets, selectors.

Import what you need from its module; importing this package costs nothing.
"""
