"""Rollouts, routes and replicas."""
