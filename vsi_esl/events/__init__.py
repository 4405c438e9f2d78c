"""VSI events: their types, and the translation of switch events into them."""
