"""The protocols of `harness.tracking.store_protocols` by MLflow.

- runs: `mlflow_tracker`; prompts: `prompt_registry`; models: `logged_models`, `model_registry`
- pages: `experiment_tags`
- how the pages look: `ui_views`
- what MLflow does not promise to keep: `mlflow_compat`
"""
