"""The words everyone uses: requests, steps, ops, errors, money, ids. No I/O, no settings, of others' code only
msgspec's structs."""
