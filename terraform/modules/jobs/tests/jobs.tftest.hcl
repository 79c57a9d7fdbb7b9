mock_provider "nomad" {}

variables {
  folder  = "../../../nomad"
  jobs    = ["postgres", "ordering"]
  values  = { driver = "exec", count = "2" }
  release = "1.2.3"
  sums    = ""
}

run "it_waits_for_every_deployment" {
  command = plan

  assert {
    condition     = alltrue([for job in nomad_job.this : job.detach == false])
    error_message = "A job that is not healthy would pass for deployed."
  }

  assert {
    condition     = nomad_job.this["ordering"].hcl2[0].vars.count == "2" && length(terraform_data.settled) == 0
    error_message = "A service gets its variables, and nobody waits for its end."
  }
}
