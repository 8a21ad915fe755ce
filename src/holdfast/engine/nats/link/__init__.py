"""The link to the NATS servers: the connection, what comes in by it, and what JetStream is asked."""
