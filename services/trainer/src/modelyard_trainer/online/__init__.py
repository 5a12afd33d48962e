"""Online learners: processes that follow the labels of a model, and the supervisor that publishes their snapshots."""
