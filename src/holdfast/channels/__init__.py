"""Channels: durable, totally ordered logs of typed messages between a submitter and an executor."""
