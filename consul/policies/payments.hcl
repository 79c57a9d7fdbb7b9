# The payment sandbox finds nobody; it reads what it is told.

key_prefix "ticketflow/config/payments/" {
  policy = "read"
}
key "ticketflow/secrets/dashboard-token" {
  policy = "read"
}
key "ticketflow/secrets/payments-api-key" {
  policy = "read"
}
