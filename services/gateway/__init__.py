"""The gateway: the shop's GraphQL and its pages, composed from catalog, identity and ordering."""
