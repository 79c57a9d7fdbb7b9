"""Every statement that touches the ordering database, by the table it is about.

Functions take the `Database` first. Inside `db.transaction()` they use its connection. Times are the
database's: no clock of a service is ever compared with another's.
"""
