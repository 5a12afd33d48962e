"""Routes as plans: compile a published plan, choose versions for a request (pure), and call them in order."""
