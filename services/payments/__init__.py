"""The sandbox payment provider: test cards only, and the manners of a real one."""
