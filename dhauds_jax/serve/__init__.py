"""The service: one or several checkpoints behind HTTP, in batches, and per session adapted while it serves."""
