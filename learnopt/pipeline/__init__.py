"""Where solving and learning meet: labels, fixing policy, reduction, acceleration, and baselines that solve."""
