"""Sets of image pairs as people have them, and the files that these are made of."""
