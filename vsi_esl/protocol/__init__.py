"""The VSI protocol: names, payload fields, the registry of commands, and what a confined token can name."""
