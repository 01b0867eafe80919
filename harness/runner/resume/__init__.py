"""What the store already holds of a study, so that the same command does only what is missing."""
