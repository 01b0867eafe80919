"""A study on MLflow's own pages: descriptions and ready-made views."""
