"""A mailbox for one machine: takes every mail that is sent to it, keeps it, and shows it in a browser."""
