"""Worlds in which protocol cores are run under faults: virtual time, a seeded network, and what they must keep."""
