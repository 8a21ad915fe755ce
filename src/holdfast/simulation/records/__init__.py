"""Worlds of records: streams of items to a faulty store, and a store that is collected while it is used."""
