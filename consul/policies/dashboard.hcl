# The dashboard shows every instance that there is, and reads what it is told.

node_prefix "" {
  policy = "read"
}
service_prefix "" {
  policy = "read"
}

key_prefix "ticketflow/config/dashboard/" {
  policy = "read"
}
key "ticketflow/secrets/consul/dashboard" {
  policy = "read"
}
key "ticketflow/secrets/dashboard-token" {
  policy = "read"
}
key "ticketflow/secrets/rabbitmq" {
  policy = "read"
}
key "ticketflow/servers/rabbitmq" {
  policy = "read"
}
