"""The node: engine, controllers and doors put together."""
