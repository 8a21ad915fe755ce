"""HTTP in a node: the door, who comes in, and the figures it shows."""
