"""What is fine-tuned: data, models, and the problems that the training loop solves."""
