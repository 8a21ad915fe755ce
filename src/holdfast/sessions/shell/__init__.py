"""The one task that asks the ``core``, and what it does of that: providers, feeds, the store, answers."""
