"""Stored models at work: a folder that answers, over HTTP, on a file, in MLflow."""
