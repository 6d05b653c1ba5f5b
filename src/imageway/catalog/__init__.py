"""Models, offerings, parameters, prices and geometry: data in TOML, loaded, validated and frozen at start. Pure."""
