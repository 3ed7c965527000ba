"""What callers use: one module per resource, written for asyncio; the `*_sync` twins are generated from them."""
