# Jobs that may start side by side. Each waits until its deployment is healthy; a batch job has none, so
# nomad/verdict.py waits for it.

module "specs" {
  source = "../jobspecs"

  folder  = var.folder
  jobs    = var.jobs
  values  = var.values
  release = var.release
  sums    = var.sums
}

resource "nomad_job" "this" {
  for_each = module.specs.texts

  jobspec = each.value
  detach  = false

  hcl2 {
    vars = module.specs.values[each.key]
  }
}

resource "terraform_data" "settled" {
  for_each = module.specs.batch

  triggers_replace = nomad_job.this[each.key].modify_index

  provisioner "local-exec" {
    command = "python3 '${var.folder}/verdict.py' '${each.key}'"
    environment = {
      NOMAD_NAMESPACE = nomad_job.this[each.key].namespace
    }
  }
}
