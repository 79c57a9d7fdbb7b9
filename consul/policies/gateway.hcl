# The gateway finds those that it calls, and reads what it is told.

node_prefix "" {
  policy = "read"
}
service "catalog" {
  policy = "read"
}
service "identity" {
  policy = "read"
}
service "ordering" {
  policy = "read"
}

key_prefix "ticketflow/config/gateway/" {
  policy = "read"
}
key "ticketflow/secrets/consul/gateway" {
  policy = "read"
}
key "ticketflow/secrets/csrf" {
  policy = "read"
}
key "ticketflow/secrets/dashboard-token" {
  policy = "read"
}
key "ticketflow/secrets/jwt" {
  policy = "read"
}
key "ticketflow/secrets/redis" {
  policy = "read"
}
key "ticketflow/servers/redis" {
  policy = "read"
}
