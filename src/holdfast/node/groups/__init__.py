"""Groups in a node: the ones it takes part in, each kept equal to a channel."""
