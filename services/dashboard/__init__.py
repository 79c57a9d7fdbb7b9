"""The dashboard: takes OpenTelemetry's traces, metrics and logs, keeps them for a while, and shows them."""
