"""The distributed engine: logs, keys, blobs and the bus on NATS JetStream."""
