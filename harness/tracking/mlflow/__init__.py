"""The protocols of `harness.tracking.store_protocols` by MLflow.

- runs and pages: `mlflow_tracker`, `read_run`, `write_run`; how the pages look: `ui_views`
- prompts: `prompt_registry`; models: `logged_models`, `model_registry`
- what MLflow does not promise to keep: `mlflow_compat`
"""
