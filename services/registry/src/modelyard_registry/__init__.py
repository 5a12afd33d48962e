"""Models, versions, artifacts, datasets, aliases, approvals, policies, API keys."""
