"""The gRPC door: the AGNTCY Directory's StoreService over our records, and a client for any such server."""
