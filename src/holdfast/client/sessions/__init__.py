"""Sessions, as both SDKs show them."""
