"""The SDK: an async client and its blocking twin."""
