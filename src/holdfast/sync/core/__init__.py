"""One channel of a participant, without I/O: its state, and what sending, receiving, time and storage do to it."""
