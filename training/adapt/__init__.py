"""Weights fitted to a user's own scans without labels, and what that changed."""
