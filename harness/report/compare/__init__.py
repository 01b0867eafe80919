"""`harness compare`: what is compared in `sides`, whether it may be in `comparison`, what is printed in `shown`."""
