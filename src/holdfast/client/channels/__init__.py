"""Channels, as both SDKs show them."""
