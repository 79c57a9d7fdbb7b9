# Who comes to an agent without a token, as DNS does: sees where services are. Every agent's `default` token.

node_prefix "" {
  policy = "read"
}
service_prefix "" {
  policy = "read"
}
