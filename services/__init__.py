"""TicketFlow's services; each is a package of its own and is run with `python -m services.<name>`."""
