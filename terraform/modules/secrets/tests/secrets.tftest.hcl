run "each_is_long_enough_to_sign_with_and_needs_no_quoting" {
  command = apply

  assert {
    condition     = alltrue([for value in nonsensitive(values(output.values)) : can(regex("^[A-Za-z0-9]{64}$", value))])
    error_message = "A secret is short, or has a character that a URL or SQL would need to quote."
  }

  assert {
    condition     = length(distinct(nonsensitive(values(output.values)))) == length(random_password.this)
    error_message = "Two secrets are the same."
  }
}
