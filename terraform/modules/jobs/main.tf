# Jobs that may start side by side. Each waits until its deployment is healthy; a batch job has none, so
# nomad/verdict.py waits for it.

locals {
  files = { for name in var.jobs : name => "${var.folder}/${name}.nomad.hcl" }
  declared = {
    for name, path in local.files :
    name => flatten(regexall("(?m)^variable \"(\\w+)\"", file(path)))
  }
  batch = toset([for name, path in local.files : name if can(regex("(?m)^  type +=  *\"batch\"$", file(path)))])
}

resource "nomad_job" "this" {
  for_each = local.files

  jobspec = file(each.value)
  detach  = false

  hcl2 {
    vars = { for key, value in var.values : key => value if contains(local.declared[each.key], key) }
  }
}

resource "terraform_data" "settled" {
  for_each = local.batch

  triggers_replace = nomad_job.this[each.key].modify_index

  provisioner "local-exec" {
    command = "python3 '${var.folder}/verdict.py' '${each.key}'"
    environment = {
      NOMAD_NAMESPACE = nomad_job.this[each.key].namespace
    }
  }
}
