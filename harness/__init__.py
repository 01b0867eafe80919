"""A harness for studies of prompt-based fine-tuning: which prompt, and how much of the network to train."""
