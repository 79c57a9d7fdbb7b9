variables {
  folder  = "../../../nomad"
  jobs    = ["postgres", "migrate", "backup", "ordering", "gateway"]
  values  = { driver = "exec", count = "2", public_url = "https://tickets.example.com", unheard = "of" }
  release = "1.2.3"
  sums    = <<-EOT
    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  ordering-1.2.3.pex
    bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb  ordering-1.2.30.pex
    cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc  ordering-1x2.3.pex
  EOT
}

run "each_job_gets_what_it_declares" {
  command = plan

  assert {
    condition     = output.values["gateway"].public_url == "https://tickets.example.com"
    error_message = "The gateway does not learn its public address."
  }

  assert {
    condition     = !contains(keys(output.values["postgres"]), "count") && output.values["ordering"].count == "2"
    error_message = "Nomad refuses a variable that a job does not declare."
  }

  assert {
    condition     = alltrue([for given in values(output.values) : given.driver == "exec" && !contains(keys(given), "unheard")])
    error_message = "Every job declares its driver, and none declares what nobody knows."
  }
}

run "a_service_runs_the_file_of_its_release" {
  command = plan

  assert {
    condition     = jsondecode(output.values["ordering"].checksums) == { ordering = join("", [for i in range(64) : "a"]) }
    error_message = "The checksum is of another release, or there is none."
  }

  assert {
    condition     = output.values["ordering"].release == "1.2.3"
    error_message = "The job does not learn its release."
  }
}

run "who_runs_to_the_end_is_known" {
  command = plan

  assert {
    condition     = output.batch == toset(["migrate", "backup"])
    error_message = "Somebody would wait for a deployment that never is, or for the end of a service."
  }
}
