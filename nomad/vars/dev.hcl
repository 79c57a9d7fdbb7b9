# One machine. deploy.sh hands each job those that it declares, so each stands on a line of its own.
driver          = "raw_exec"
environment     = "development"
count           = 1
public_url      = "http://localhost:8080"
trusted_proxies = ["127.0.0.0/8"]
limits          = "open" # load tests come from one address
artifacts       = "http://127.0.0.1:8888" # python3 -m http.server --bind 127.0.0.1 --directory dist 8888
