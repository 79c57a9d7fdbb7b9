"""The ledger: whether the books of a running system close. `ledger.audit` does it; nothing here changes anything.

records   what was read, as plain values
read      reads it: three databases (statements), the provider's books, the broker (queues), the mailbox
books     the rules of tickets, orders and money: pure functions from what was read to what does not add up
events    the rules of events and mails
ledger    waits for what is in flight, then judges
report    the outcome as text
"""
