"""Where group state is kept: nowhere, in memory, or in an engine."""
