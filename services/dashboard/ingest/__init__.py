"""Taking telemetry by OTLP 1.x, over HTTP and gRPC: https://opentelemetry.io/docs/specs/otlp/."""
