# Passwords and signing keys, made up once. The state holds them: keep it in a backend that encrypts.
# `terraform apply -replace='module.secrets.random_password.this["csrf"]'` rotates one.

resource "random_password" "this" {
  for_each = toset([
    "csrf",
    "dashboard-token",
    "database/catalog",
    "database/identity",
    "database/ordering",
    "database/postgres",
    "grafana",
    "jwt",
    "payments-api-key",
    "rabbitmq",
    "redis",
    "service-token",
  ])

  length  = 64
  special = false # nothing that a URL or SQL would need to quote
}
