"""The keeper: one small process per job, which owns its command and its unacknowledged output."""
