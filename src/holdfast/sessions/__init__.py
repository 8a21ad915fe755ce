"""Sessions: the durable server-side half of a client, bound to subjects of providers.

A command: ``service`` → ``actor`` → ``core``, which decides → ``shell``, which does it, with the ``store``.
A message: ``providers`` → ``router`` → ``delivery``, the session's buffer → the attached client.
"""
