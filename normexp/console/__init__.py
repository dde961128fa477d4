"""What a person sees: tables on stdout, narration and progress on stderr."""
