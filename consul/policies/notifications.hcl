# Notifications calls nobody; it reads what it is told.

key_prefix "ticketflow/config/notifications/" {
  policy = "read"
}
key "ticketflow/secrets/dashboard-token" {
  policy = "read"
}
key "ticketflow/secrets/rabbitmq" {
  policy = "read"
}
key "ticketflow/secrets/redis" {
  policy = "read"
}
key "ticketflow/secrets/smtp-password" {
  policy = "read"
}
key "ticketflow/servers/rabbitmq" {
  policy = "read"
}
key "ticketflow/servers/redis" {
  policy = "read"
}
