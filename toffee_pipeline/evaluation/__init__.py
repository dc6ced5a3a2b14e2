"""Judges of images, and figures with error bars."""
