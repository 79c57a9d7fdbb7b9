# People who deploy: seed.py writes keys, define.py queries and intentions (for policies and tokens it needs a
# management token), reap.py takes out registrations. Not for programs that stay.

key_prefix "ticketflow/" {
  policy = "write"
}
agent_prefix "" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
query_prefix "" {
  policy = "write"
}
service_prefix "" {
  policy     = "write"
  intentions = "write"
}
