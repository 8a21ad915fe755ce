"""Streams of items to a store and their answers back, sans-I/O: ``core`` and the policies it follows.

No asyncio, no sockets, no clock, no chance of their own: the shells in ``holdfast.client`` and the simulation drive
the same code.
"""
