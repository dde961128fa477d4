"""Output for people: tables on stdout, narration and progress on stderr."""
