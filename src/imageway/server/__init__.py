"""HTTP in: the image gate, media links, health, error rendering, and the one place where everything is put together."""
