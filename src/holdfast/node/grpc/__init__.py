"""gRPC in a node: the door, and the records behind it."""
