# What the job files say about themselves; asks no server.

locals {
  texts = { for name in var.jobs : name => file("${var.folder}/${name}.nomad.hcl") }
  declared = {
    for name, text in local.texts : name => flatten(regexall("(?m)^variable \"(\\w+)\"", text))
  }
  # The lines of SHA256SUMS that are of this release.
  checksums = {
    for found in regexall("(?m)^([0-9a-f]{64})  (\\w+)-${replace(var.release, "/[.+]/", "\\$0")}\\.pex$", var.sums) :
    found[1] => found[0]
  }
  values = merge(var.values, { release = var.release, checksums = jsonencode(local.checksums) })
}
