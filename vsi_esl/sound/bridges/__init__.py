"""Bridges between rooms: who hears whom over them."""
