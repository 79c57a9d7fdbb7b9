# Consul's own agents: keep their node and its services as they are.

node_prefix "" {
  policy = "write"
}
service_prefix "" {
  policy = "read"
}
