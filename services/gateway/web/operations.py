"""The GraphQL that the pages run, through the same schema as every other client."""

_CARD = """
  id slug title artist genre startsAt onSaleAt timeZone available saleState
  venue { name city address }
  priceFrom { amountMinor currency }
"""

_ORDER = """
  id number status cancelReason createdAt expiresAt
  concert { id title artist slug startsAt doorsAt timeZone venue { name city address } }
  lines { tierId tierName quantity unitPrice { amountMinor currency } }
  total { amountMinor currency }
"""

_ORDER_WHOLE = _ORDER + "tickets { id tier section row seat code } timeline { event at }"

_SESSION = "accessToken refreshToken expiresIn user { id email name }"

CONCERTS = f"""
query Concerts($filter: ConcertFilter, $sort: ConcertSort, $first: Int, $after: String) {{
  concerts(filter: $filter, sort: $sort, first: $first, after: $after) {{
    totalCount pageInfo {{ hasNextPage endCursor }} nodes {{ {_CARD} }}
  }}
}}
"""

FACETS = "query Facets { concertFacets { cities genres } }"

CONCERT = f"""
query Concert($id: ID, $slug: String) {{
  concert(id: $id, slug: $slug) {{
    {_CARD} description doorsAt
    tiers {{ id name includes seating capacity available price {{ amountMinor currency }} }}
  }}
}}
"""

ORDER = f"query Order($id: ID!) {{ order(id: $id) {{ {_ORDER_WHOLE} }} }}"

MY_ORDERS = f"""
query MyOrders($first: Int, $after: String) {{
  myOrders(first: $first, after: $after) {{ pageInfo {{ hasNextPage endCursor }} nodes {{ {_ORDER} }} }}
}}
"""

PLACE_ORDER = f"mutation PlaceOrder($input: PlaceOrderInput!) {{ placeOrder(input: $input) {{ {_ORDER_WHOLE} }} }}"
PAY_ORDER = f"mutation PayOrder($input: PayOrderInput!) {{ payOrder(input: $input) {{ {_ORDER_WHOLE} }} }}"
CANCEL_ORDER = f"mutation CancelOrder($id: ID!) {{ cancelOrder(id: $id) {{ {_ORDER_WHOLE} }} }}"

REGISTER = f"mutation Register($input: RegisterInput!) {{ register(input: $input) {{ {_SESSION} }} }}"
LOGIN = f"mutation Login($input: LoginInput!) {{ login(input: $input) {{ {_SESSION} }} }}"
REFRESH = f"mutation Refresh($token: String!) {{ refreshToken(refreshToken: $token) {{ {_SESSION} }} }}"
LOGOUT = "mutation Logout($token: String!) { logout(refreshToken: $token) }"
