"""Sessions: the durable server-side half of a client, bound to subjects of providers."""
