# The catalog calls nobody; it reads what it is told.

key_prefix "ticketflow/config/catalog/" {
  policy = "read"
}
key "ticketflow/secrets/dashboard-token" {
  policy = "read"
}
key "ticketflow/secrets/database/catalog" {
  policy = "read"
}
key "ticketflow/secrets/redis" {
  policy = "read"
}
key "ticketflow/secrets/service-token" {
  policy = "read"
}
key "ticketflow/servers/postgres" {
  policy = "read"
}
key "ticketflow/servers/redis" {
  policy = "read"
}
