"""The words everyone uses: requests, steps, ops, errors, money, ids. No I/O, no settings, no third-party code."""
