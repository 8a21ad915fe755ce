"""Records: immutable JSON documents, each named by its content."""
