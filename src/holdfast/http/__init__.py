"""The HTTP door: durable streams for browsers and other people's clients, health and metrics beside them."""
