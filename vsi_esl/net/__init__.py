"""Connections to addresses that others named: checked URLs, the address guard, racing of addresses."""
