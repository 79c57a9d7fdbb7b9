"""The use cases of ordering, one module each, and what they have in common.

    place    hold in the catalog, then write the order
    pay      record the attempt, ask the provider, then `settle`
    settle   from a charge's answer to the order's end, whoever asks: the buyer's request or recovery
    cancel   by the buyer, or because the hold ended
    finish   what is owed after an order ended: freeing its tickets, refunding its money
    recover  from what the database says, finish what a crash or an outage left half done

Nothing here calls the network inside a transaction, and events leave through the outbox alone.
"""
