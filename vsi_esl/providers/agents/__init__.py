"""Agents that hear and speak: one provider a module."""
