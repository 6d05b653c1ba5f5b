"""Everything outbound: upstream calls with their credentials, and the safe fetcher for addresses strangers gave us."""
