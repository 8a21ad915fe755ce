"""Worlds of groups: peers that die and come back, a network that divides, and a judge who knows it all."""
