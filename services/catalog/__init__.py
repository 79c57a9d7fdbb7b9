"""The catalog: which concerts there are, which tickets they have, and whose each ticket is."""
