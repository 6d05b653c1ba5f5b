"""How much one gateway process does per CPU-second, how much memory and how much time it takes:
`python -m benchmarks`.

Upstream, load and prober run in processes of their own and are cheap, so that the gateway's figures are its own."""
