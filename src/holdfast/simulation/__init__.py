"""Worlds in which protocol cores are run under faults: virtual time, a seeded network, and what they must keep.

``streams``, ``records`` and ``sync`` draw whole worlds from seeds: ``python -m holdfast.simulation.<room> SEED``.
``transfer`` is one stream as somebody asks for it, on a virtual clock or a real one.
"""
