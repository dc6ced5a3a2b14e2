"""One file per model role: torch, no Ray. Every method takes lists and computes the whole list as one batch."""
