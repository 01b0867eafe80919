"""Where runs are recorded.

- a tag, a param, a metric or a file of runs: `schema`; what they say, typed: `run_records`, `study_record`
- what is asked of a store: `store_protocols`; by MLflow: `mlflow/`
- the table of predictions: `prediction_table`
- a tracking server that goes away: `server_outage/`
"""
