"""What a study will take, before it is run: work counted, speed measured on a sample, bytes of recordings."""
