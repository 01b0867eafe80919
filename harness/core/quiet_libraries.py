"""Libraries that tell others of their use, kept from it: only the store and the Hub that are named are contacted."""

from __future__ import annotations

import os
import warnings

__all__ = ["keep_quiet"]

SWITCHES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # of datasets and evaluate
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_UV_AUTO_DETECT": "false",  # it would store the working folder's project files with a model
}
"""Environment variables, which children inherit; read when a library is imported."""


def keep_quiet() -> None:
    """Switch telemetry off, unless the user's environment switches a library's on and ``DO_NOT_TRACK`` says nothing."""
    refused = os.environ.get("DO_NOT_TRACK", "").strip().lower() not in ("", "0", "false", "no", "off")
    for name, value in SWITCHES.items():
        if refused or name not in os.environ:
            os.environ[name] = value
    warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm, in notebooks; its bars are turned off
