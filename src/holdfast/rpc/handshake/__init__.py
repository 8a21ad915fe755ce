"""How a connection begins: versions and features agreed on, and who is at the other end proven."""
