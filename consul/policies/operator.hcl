# People who deploy: seed.py writes keys, reap.py takes out registrations. Not for programs that stay.

key_prefix "ticketflow/" {
  policy = "write"
}
agent_prefix "" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
service_prefix "" {
  policy = "write"
}
