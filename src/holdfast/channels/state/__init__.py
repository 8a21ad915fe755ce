"""The channels there are: in memory, as decisions are made from them, and in the engine."""
