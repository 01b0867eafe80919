"""Where runs are recorded: the protocol in `base`, MLflow in `mlflow`."""
