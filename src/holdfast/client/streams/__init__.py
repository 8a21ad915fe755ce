"""Durable streams, as both SDKs show them."""
