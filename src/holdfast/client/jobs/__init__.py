"""Jobs, as both SDKs show them."""
