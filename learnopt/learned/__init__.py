"""Where solving and learning meet: labels, training, fixing policy, reduction, the learned engine."""
