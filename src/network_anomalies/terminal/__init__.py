"""What a run shows: progress while it works, a short table at its end, and a file with every line of its log."""
