"""What adapters of one vendor's services have in common: how it words errors, where its methods stand, and how they are
asked for a file format."""
