"""From unusual flows and findings to the alerts of a day."""
