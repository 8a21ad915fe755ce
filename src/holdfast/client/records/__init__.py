"""Records, as both SDKs show them."""
