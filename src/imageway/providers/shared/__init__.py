"""What adapters of one vendor's services have in common: how it words errors, and where its methods stand."""
