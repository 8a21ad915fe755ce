"""Channels: durable, totally ordered logs of typed messages between a submitter and an executor.

An entry: ``service`` → ``router``, which asks ``access`` → ``appending`` → ``state``, the log → ``reading``.
"""
