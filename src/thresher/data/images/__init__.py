"""Image bytes to pixels, and the pixels of a whole pool."""
