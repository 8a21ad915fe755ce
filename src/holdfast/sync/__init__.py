"""Causal reliability for groups of peers over a network that loses things."""
