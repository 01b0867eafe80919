"""What training and scoring cost as little as they may: losses, recordings of the frozen part, decoding, the loop."""
