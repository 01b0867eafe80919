"""MLflow as the store: runs, artifacts, models, prompts, and the state of its pages."""
