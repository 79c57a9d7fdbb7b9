"""Ordering: orders, payments, and the events that tell of them."""
