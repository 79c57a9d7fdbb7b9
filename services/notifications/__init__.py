"""Mails about orders: a worker that turns the events of the broker into letters."""
