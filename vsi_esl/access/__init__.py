"""Who may do what: tokens, their scopes, their share of the calls, and how often."""
