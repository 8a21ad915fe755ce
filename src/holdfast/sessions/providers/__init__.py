"""Providers: sources of subjects that sessions bind to."""
