"""What everything stands on: errors, examples and predictions, digests, provenance, databases, YAML sections."""
