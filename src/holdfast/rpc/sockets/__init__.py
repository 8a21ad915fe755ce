"""What the shells of a connection do with their sockets."""
