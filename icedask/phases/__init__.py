"""Phases of matter: where they are, and where they meet."""
