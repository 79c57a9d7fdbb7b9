output "values" {
  description = "The secrets by name"
  value       = { for name, password in random_password.this : name => password.result }
  sensitive   = true
}
