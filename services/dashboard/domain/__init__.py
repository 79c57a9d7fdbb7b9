"""Decisions about telemetry: trees of spans, percentiles, values over time. No I/O and no clock."""
