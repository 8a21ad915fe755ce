"""Sessions in a node: its jobs, its channels and its bus as providers, and who may read what of them."""
