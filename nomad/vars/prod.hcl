# deploy.sh hands each job those that it declares, so each stands on a line of its own.
driver          = "exec"
environment     = "production" # no GraphiQL, introspection or API pages; cookies only over TLS
count           = 2
public_url      = "https://tickets.example.com"
trusted_proxies = ["10.0.0.0/16"] # where the balancer, the ingress and the gateway run, and nobody else
limits          = "strict"
artifacts       = "https://artifacts.example.com/ticketflow" # where the files of `make dist` are: any web server, S3 …
