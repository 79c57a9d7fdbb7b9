# Nomad's clients: register what they run, and render the jobs' templates.

agent_prefix "" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
service_prefix "" {
  policy = "write"
}
key_prefix "ticketflow/" {
  policy = "read"
}
