"""`harness compare`: two sides in `compared_pair`, their test in `compare_studies`, what is printed beside them."""
