# Ordering finds those that it calls, and reads what it is told.

node_prefix "" {
  policy = "read"
}
service "catalog" {
  policy = "read"
}
service "payments" {
  policy = "read"
}

key_prefix "ticketflow/config/ordering/" {
  policy = "read"
}
key "ticketflow/secrets/consul/ordering" {
  policy = "read"
}
key "ticketflow/secrets/dashboard-token" {
  policy = "read"
}
key "ticketflow/secrets/database/ordering" {
  policy = "read"
}
key "ticketflow/secrets/jwt" {
  policy = "read"
}
key "ticketflow/secrets/payments-api-key" {
  policy = "read"
}
key "ticketflow/secrets/rabbitmq" {
  policy = "read"
}
key "ticketflow/secrets/service-token" {
  policy = "read"
}
key "ticketflow/servers/postgres" {
  policy = "read"
}
key "ticketflow/servers/rabbitmq" {
  policy = "read"
}
