"""The way of a batch into a channel: its rate, its admission, the one append; what it repeats, and its receipts."""
