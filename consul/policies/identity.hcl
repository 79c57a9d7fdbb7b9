# Identity calls nobody; it reads what it is told.

key_prefix "ticketflow/config/identity/" {
  policy = "read"
}
key "ticketflow/secrets/dashboard-token" {
  policy = "read"
}
key "ticketflow/secrets/database/identity" {
  policy = "read"
}
key "ticketflow/secrets/jwt" {
  policy = "read"
}
key "ticketflow/servers/postgres" {
  policy = "read"
}
