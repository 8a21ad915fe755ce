"""Ways from one peer of a group to the others.  Each may lose, repeat, delay and reorder; none decides anything."""
