"""One pretend provider a module or package; none knows another."""
