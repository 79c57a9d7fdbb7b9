output "namespace" {
  description = "Name of the namespace, once it is there"
  value       = nomad_namespace.this.name
}
