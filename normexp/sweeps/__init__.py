"""What the commands do, for the terminal and for notebooks alike."""
