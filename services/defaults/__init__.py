"""Plumbing that every service shares. It knows no service and no business word."""
