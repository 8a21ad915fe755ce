"""Calls, events and streams over one connection: a sans-I/O core, and shells for asyncio, blocking sockets, selectors.

``connection`` is the core, over ``frames``; ``handshake`` is how one begins.  The shells, ``aio``, ``blocking`` and
``selecting``, stand on ``sockets``.  Calls: ``commands`` for both ends, ``dispatch`` where they are done.

Import what you need from its module; importing this package costs nothing.
"""
