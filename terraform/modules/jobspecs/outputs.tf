output "texts" {
  description = "The job files by name"
  value       = local.texts
}

output "values" {
  description = "By job the variables that it declares, of those that there are"
  value = {
    for name, declared in local.declared :
    name => { for key, value in local.values : key => value if contains(declared, key) }
  }
}

output "batch" {
  description = "The jobs that run to their end"
  value       = toset([for name, text in local.texts : name if can(regex("(?m)^  type +=  *\"batch\"$", text))])
}
